/* park.pml - parking and waking of threads: find.c, ready.c and machine.c of runtime-sdk/sched.
 *
 * Threads hold processors, make tasks runnable, look for tasks, steal, give their processor up and sleep. What is
 * checked: when nothing can happen any more, no task waits in a queue while a processor is idle.
 *
 * What a thread writes without a barrier lies in its store buffer (`stored` tasks, a `late` word that a processor is
 * idle or a thread looks no more), and its loads do not wait for that; a locked instruction, a barrier and the end
 * of its activity empty the buffer. With both barriers there is no load between a store and its barrier, so that
 * a store that comes late is the same as a thread that is slow. What is done under sched.lock is one step.
 *
 * -DNO_READY_BARRIER: who makes a task runnable looks at the idle without a barrier.
 * -DNO_PARK_BARRIER: who gives its processor up looks at the queues again without one.
 * -DNO_SECOND_LOOK: who was not counted as looking does not look again.
 * -DLATE_UNDO: who counted one that looks, and found no processor for it, takes that back outside the lock. */

#define PROCS    3
#define MACHINES 3
#define TASKS    2
#define NONE     15

byte queue[PROCS];         /* tasks that everybody sees */
byte stored[PROCS];        /* in the store buffer of the processor's holder */
bool idle[PROCS];          /* under the lock */
byte idle_count, spinning; /* what is looked at without it */
bool late_idle[MACHINES], late_spin[MACHINES];
byte handed[MACHINES] = NONE; /* with a processor goes that the thread was counted as spinning */
bool asleep[MACHINES];
byte budget = TASKS; /* tasks still to be made runnable */

inline drain_words(m)
{
    idle_count = idle_count + late_idle[m]; late_idle[m] = 0;
    spinning = spinning - late_spin[m]; late_spin[m] = 0
}
inline drain(m, q)
{
    queue[q] = queue[q] + stored[q]; stored[q] = 0;
    drain_words(m)
}

/* Under the lock, which orders the changes of idle_count that were made under it. */
inline take_idle(ret)
{
    i = 0;
    do
    :: i < MACHINES -> idle_count = idle_count + late_idle[i]; late_idle[i] = 0; i++
    :: else -> break
    od;
    ret = NONE;
    i = 0;
    do
    :: i < PROCS && idle[i] -> ret = i; idle[i] = false; idle_count--; break
    :: i < PROCS && !idle[i] -> i++
    :: i == PROCS -> break
    od;
    i = 0
}

/* One more thread that looks, if a processor is idle. */
inline wake_one(m, q)
{
    atomic {
        drain(m, q);
        if
        :: spinning == 0 -> spinning = 1; found = true
        :: else -> found = false
        fi
    };
    if
    :: found ->
        atomic {
            found = false;
            take_idle(other);
            if
            :: other == NONE -> other = 0;
#ifdef LATE_UNDO
                goto undo
#else
                spinning--; goto woken
#endif
            :: else
            fi
        };
        atomic { /* there are as many threads as processors: one sleeps, or is about to */
            if
            :: asleep[0] -> i = 0
            :: asleep[1] -> i = 1
            :: asleep[2] -> i = 2
            fi;
            asleep[i] = false; handed[i] = other; i = 0; other = 0
        }
    :: else
    fi;
#ifdef LATE_UNDO
    goto woken;
undo:
    spinning--;
#endif
woken:
    skip
}

proctype machine(byte me; byte p)
{
    byte i, other, seen;
    bool spin, found;

    if
    :: me > 0 -> goto looking
    :: else
    fi;

running:
    if
    :: atomic {
            budget > 0 -> budget--;
#ifdef NO_READY_BARRIER
            stored[p] = stored[p] + 1
#else
            queue[p] = queue[p] + 1
#endif
        };
        if
        :: idle_count == 0 -> goto running
        :: else
        fi;
        if
        :: spinning > 0 -> goto running
        :: else
        fi;
        wake_one(me, p);
        goto running
    :: goto endless
    :: skip
    fi;

looking:
    atomic { /* its own queue */
        if
        :: queue[p] + stored[p] > 0 -> drain(me, p); queue[p] = queue[p] - 1; goto has_found
        :: else
        fi
    };
    if
    :: !spin -> /* at most half as many as there are busy processors */
        atomic { seen = PROCS - idle_count };
        atomic {
            if
            :: 2 * spinning >= seen -> seen = 0; goto give_up
            :: else -> seen = 0
            fi
        };
        atomic { drain(me, p); spinning++; spin = true }
    :: else
    fi;
    do
    :: atomic { other < PROCS && other != p && queue[other] > 0 ->
            drain(me, p); queue[other] = queue[other] - 1; other = 0; goto has_found }
    :: atomic { other < PROCS && (other == p || queue[other] == 0) -> other++ }
    :: atomic { other == PROCS -> other = 0; break }
    od;

give_up:
    atomic { /* the lock */
        drain(me, p);
        idle[p] = true; p = NONE;
#ifdef NO_PARK_BARRIER
        late_idle[me] = true
#else
        idle_count++
#endif
    };
#ifdef NO_SECOND_LOOK
    if
    :: !spin -> goto stop
    :: else
    fi;
#endif
    atomic {
        if
        :: spin ->
            spin = false;
#ifdef NO_PARK_BARRIER
            late_spin[me] = true
#else
            spinning--
#endif
        :: else
        fi
    };
    do
    :: atomic { other < PROCS && queue[other] > 0 -> other = 0; break }
    :: atomic { other < PROCS && queue[other] == 0 -> other++ }
    :: atomic { other == PROCS -> other = 0; goto stop }
    od;
    atomic {
        drain_words(me);
        take_idle(p);
        if
        :: p == NONE -> goto stop
        :: else -> spinning++; spin = true; goto looking
        fi
    };

stop:
    atomic { drain_words(me); asleep[me] = true };
end_sleep:
    atomic { handed[me] != NONE -> p = handed[me]; handed[me] = NONE; spin = true; goto looking };

has_found: /* the last one that looked has another one look on */
    if
    :: spin ->
        atomic { seen = spinning; spinning--; spin = false };
        if
        :: atomic { seen == 1 && idle_count > 0 -> seen = 0 };
            wake_one(me, p)
        :: else -> seen = 0
        fi
    :: else
    fi;
    goto running;

endless: /* a task that does not come back */
    atomic { drain(me, p) };
end_endless:
    false
}

init {
    atomic { /* one runs a task, the others have nothing yet */
        run machine(0, 0);
        run machine(1, 1);
        run machine(2, 2)
    };
    timeout;
    assert(idle_count == 0 || queue[0] + queue[1] + queue[2] == 0)
}
