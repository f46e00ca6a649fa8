/* cancel.pml - a task that begins to wait, and whoever cancels it: wait_open() of wait.c and scope_cancel() of
 * runtime-sdk/sched.
 *
 * The task opens a wait (a plain store), looks at its mark and sleeps, again and again; the canceller marks it, runs
 * a barrier on every cpu (membarrier), and ends the wait that it sees. What is checked: the task does not sleep for
 * ever, and no wait is ended twice.
 *
 * The task's stores lie in its store buffer, in order, until the memory takes them; its loads do not wait for that.
 * A locked instruction, a barrier and the end of its activity empty the buffer.
 *
 * -DNO_MEMBARRIER: the canceller marks, and looks at once.
 * -DNO_LOOK: the task does not look at its mark once the wait is open.
 * -DNO_CLAIM: the task takes its wait back with a store instead of a compare-and-swap. */

#define WAITS 3

chan buffer = [4] of { byte };
byte claim; /* odd: a wait is open */
bool canceled;
byte ready; /* how often somebody ended a wait that the task sleeps in */

inline drain()
{
    do
    :: buffer?value -> claim = value
    :: empty(buffer) -> break
    od;
    value = 0
}

active proctype memory()
{
    byte value;
end:
    do
    :: atomic { buffer?value -> claim = value; value = 0 }
    od
}

active proctype task()
{
    byte value, mine, waits = WAITS;

    do
    :: waits > 0 ->
        waits--;
        mine++;
        buffer!mine;
        mine++;
#ifndef NO_LOOK
        if
        :: canceled ->
#ifdef NO_CLAIM
            if
            :: claim != mine -> buffer!mine; goto next
            :: else /* claimed: it sleeps until it is told */
            fi
#else
            atomic { /* compare-and-swap */
                drain();
                if
                :: claim == mine - 1 -> claim = mine; goto next
                :: else
                fi
            }
#endif
        :: else
        fi;
#endif
        atomic { drain() }; /* the switch, at the latest when the thread sleeps */
        atomic { ready > 0 -> ready-- };
next:   skip
    :: else -> break
    od;
    assert(ready == 0)
}

active proctype canceller()
{
    byte value, seen;

    canceled = true;
#ifndef NO_MEMBARRIER
    atomic { drain() };
#endif
    seen = claim;
    atomic {
        if
        :: seen % 2 == 1 && claim == seen -> claim = seen + 1; ready++
        :: else
        fi
    }
}
