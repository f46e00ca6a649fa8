/* claim.pml - how a wait ends: wait.c and switch.c of runtime-sdk/sched.
 *
 * A task waits, several times, for a waker that finds it in a list and for a timer; two threads run it. What is
 * checked: every wait ends once, by what was meant for it, and the task never runs at two places, nor before its
 * registers are saved.
 *
 * -DNO_ON_CPU: who runs the task does not wait until it has left its stack.
 * -DNO_GENERATION: the timer ends whatever wait is open.
 * -DNO_CLAIM: the claim is a load and a store. */

#define WAITS 3

byte claim;        /* odd: a wait is open */
bool listed, spin; /* in the list of what it waits for, under the spin */
bool on_cpu;
byte queued = 1;   /* in run queues */
byte saved;        /* where the task's registers say that it goes on */
byte at;           /* where the task is */
byte running;      /* threads that run it */
byte armed;        /* the timer, for this generation; 0: not */
byte meant;        /* the generation that the waker's claim was for */
byte fired = 2, sent = 2;

inline take_spin()
{
    atomic { !spin -> spin = true }
}
inline swap_claim(from)
{
#ifdef NO_CLAIM
    won = (claim == from);
    if
    :: won -> claim = from + 1
    :: else
    fi
#else
    atomic {
        won = (claim == from);
        if
        :: won -> claim = from + 1
        :: else
        fi
    }
#endif
}

proctype machine()
{
    do
    :: atomic { queued > 0 -> queued-- };
#ifndef NO_ON_CPU
        !on_cpu; /* its last thread is between the claim and the end of its switch */
#endif
        on_cpu = true;
        running++;
        assert(running == 1);
        assert(saved == at);
        assert(meant + 1 == claim || claim == 0); /* woken by what was for this wait */
        if
        :: at == WAITS -> at++; break
        :: else
        fi;
        /* the wait before left the list to itself, if it was not taken off */
        take_spin();
        listed = false;
        spin = false;
        armed = 0;
        /* it waits */
        claim++;
        take_spin();
        listed = true;
        armed = claim;
        at++;
        running--;
        saved = at; /* the switch */
        on_cpu = false;
        spin = false
    :: at > WAITS -> break
    od
}

active proctype waker()
{
    bool won;
    byte seen;

    do
    :: sent > 0 && at <= WAITS ->
        sent--;
        take_spin();
        won = false;
        if
        :: listed -> listed = false; seen = claim;
            if
            :: seen % 2 == 1 -> swap_claim(seen)
            :: else
            fi;
            if
            :: won -> meant = seen; queued++
            :: else
            fi
        :: else
        fi;
        spin = false
    :: else -> break
    od
}

active proctype timer()
{
    bool won;
    byte generation;
end:
    do
    :: at > WAITS -> break
    :: atomic { armed > 0 -> generation = armed };
        /* between its look at the heap and the claim anything may happen */
#ifdef NO_GENERATION
        atomic {
            if
            :: claim % 2 == 1 -> claim++; won = true; meant = generation
            :: else
            fi
        };
#else
        won = false;
        swap_claim(generation);
        if
        :: won -> meant = generation
        :: else
        fi;
#endif
        if
        :: won -> queued++; won = false
        :: else
        fi
    od
}

init {
    atomic { run machine(); run machine() }
}
