/* poll.pml - the thread that waits in the poller, and timers that start meanwhile: wait_in_poller() of find.c,
 * timer_start() and timers_need_look() of runtime-sdk/sched.
 *
 * One thread at a time waits for descriptors, for as long as the first timer says. Tasks start timers; their
 * threads compute for ever or give their processors up. What is checked: when nothing can happen any more but that
 * time passes, and a processor is idle, somebody waits, and no longer than until the first timer is due. All
 * words are read and written in one total order here (seq_cst).
 *
 * -DNO_SECOND_LOOK: who is going to wait does not look at the timers again after it said until when.
 * -DNO_TELL: who starts a timer tells nobody.
 * -DNO_TELL_LONGER: who finds somebody waiting does not look for how long. */

#define MACHINES 3
#define NEVER    9
#define NONE     0 /* nobody's wait is as short */

byte first = NEVER;      /* timer that is due */
byte poll_until = NONE;
bool polled_at = true;   /* false: a thread waits in the poller, or is about to */
bool woken;              /* the poller's descriptor */
byte waits[MACHINES] = NONE;
bool asleep[MACHINES], handed[MACHINES];
byte idle_count;
bool descriptors;        /* tasks wait for some */
byte timers = 2;         /* still to be started, each sooner than the one before */

inline wake_poller() { woken = true }

inline take_idle(got)
{
    atomic {
        got = idle_count > 0;
        if
        :: got -> idle_count--
        :: else
        fi
    }
}

/* As machine_wake_one(): the thread that is woken finds no task, and comes to the poller. There is one more thread
 * than processors, since one may be in the poller: of the others one sleeps, or is about to. */
inline wake_one()
{
    take_idle(got);
    if
    :: got ->
        atomic {
            if
            :: asleep[0] -> asleep[0] = false; handed[0] = true
            :: asleep[1] -> asleep[1] = false; handed[1] = true
            :: asleep[2] -> asleep[2] = false; handed[2] = true
            fi;
            got = false
        }
    :: else
    fi
}

proctype machine(byte me)
{
    byte until, shorter;
    bool got;

    if
    :: me == MACHINES - 1 -> goto stop
    :: else
    fi;
running:
    if
    :: atomic { timers > 0 -> timers--; first = timers + 1 };
#ifndef NO_TELL
        if
        :: polled_at && idle_count == 0 -> goto running
        :: else
        fi;
        if
        :: polled_at -> wake_one()
        :: else ->
#ifndef NO_TELL_LONGER
            if
            :: first < poll_until -> wake_poller()
            :: else
            fi
#endif
        fi;
#endif
        goto running
    :: goto endless
    :: skip
    fi;
finding:
    idle_count++;
    /* wait_in_poller() */
    until = first;
    if
    :: until == NEVER && !descriptors -> goto stop
    :: else
    fi;
    atomic { got = polled_at; polled_at = false };
    if
    :: !got ->
        shorter = poll_until;
        if
        :: until < shorter -> wake_poller()
        :: else
        fi;
        goto stop
    :: else
    fi;
    poll_until = until;
#ifndef NO_SECOND_LOOK
    until = first;
#endif
    waits[me] = until;
end_waiting:
    atomic { woken -> woken = false; waits[me] = NONE };
    poll_until = NONE;
    polled_at = true;
    take_idle(got);
    if
    :: got -> goto finding
    :: else
    fi;
stop:
    atomic { asleep[me] = true; until = 0; shorter = 0; got = false };
end_asleep:
    atomic { handed[me] -> handed[me] = false };
    goto finding;
endless:
end_endless:
    false
}

init {
    atomic {
        if
        :: descriptors = true
        :: descriptors = false
        fi;
        run machine(0);
        run machine(1);
        run machine(2)
    };
    timeout;
    assert(idle_count == 0 || first == NEVER || (waits[0] && waits[0] <= first) ||
           (waits[1] && waits[1] <= first) || (waits[2] && waits[2] <= first))
}
