/* take.pml - how a processor is taken from a running thread: internal.h and enter.c of runtime-sdk/sched.
 *
 * A thread enters the scheduler and leaves it, again and again, and changes what its processor owns with plain
 * stores while it is inside; two takers ask for the processor. What is checked: no two of them have it, and who
 * has it sees all that the other did with it.
 *
 * The thread's stores lie in its store buffer, in order, until the memory takes them; its loads do not wait for
 * that. A locked instruction and the taker's membarrier empty the buffer.
 *
 * -DNO_MEMBARRIER: the taker asks, and looks at once.
 * -DNO_RELEASE: that the thread has left may be seen before what it did.
 * -DNO_ORDER: both takers ask at a time.
 * -DNO_CLAIM: the taker takes with a store instead of a compare-and-swap. */

#define ROUNDS 3 /* of the thread, and of the takers together */

mtype = { INSIDE, DATA };
mtype = { FREE, ASKED, TAKEN };

chan buffer = [4] of { mtype, byte };
bool inside;
byte data;            /* of the processor */
mtype taken = FREE;
bool has = true;      /* the thread, in its own eyes */
bool taker_has;
byte wrote;           /* the last data of whoever has the processor, in the order of its program */
bool given;           /* the processor back to the thread; who has none is not asked */
bool asking;          /* one taker at a time */
byte changes = ROUNDS, asks = ROUNDS;

inline memory_takes()
{
    if
    :: buffer?INSIDE(value) -> inside = value
    :: buffer?DATA(value) -> data = value
#ifdef NO_RELEASE
    :: buffer??INSIDE(value) -> inside = value
#endif
    fi;
    value = 0
}
inline drain()
{
    do
    :: buffer?INSIDE(value) -> inside = value
    :: buffer?DATA(value) -> data = value
    :: empty(buffer) -> break
    od;
    value = 0
}

active proctype memory()
{
    byte value;
end:
    do
    :: atomic { nempty(buffer) -> memory_takes() }
    od
}

active proctype thread()
{
    byte value;
    mtype saw;

    do
    :: changes > 0 ->
        buffer!INSIDE(1);
        saw = taken;
        if
        :: saw != FREE ->
            atomic { /* compare-and-swap */
                drain();
                if
                :: taken == ASKED -> taken = FREE
                :: taken == TAKEN -> has = false
                :: else
                fi
            }
        :: else
        fi;
        if
        :: !has -> /* it waits, in the scheduler, for another */
            atomic { taken = FREE; drain() };
            atomic { given -> given = false; has = true }
        :: else
        fi;
        assert(!taker_has);
        atomic { changes--; wrote = wrote + 1; buffer!DATA(wrote) };
        assert(!taker_has);
        buffer!INSIDE(0) /* and the task runs on */
    :: else -> break
    od
}

active [2] proctype taker()
{
    byte value;
    bool saw, asked;

    do
    :: atomic { asks > 0 -> asks-- };
#ifndef NO_ORDER
        atomic { !asking -> asking = true };
#endif
        atomic { /* compare-and-swap */
            if
            :: taken == FREE && !given && !taker_has -> taken = ASKED; asked = true
            :: else
            fi
        };
        if
        :: asked ->
#ifndef NO_MEMBARRIER
            atomic { drain() };
#endif
            saw = inside;
            asked = false;
            if
            :: saw ->
                atomic {
                    if
                    :: taken == ASKED -> taken = FREE
                    :: else
                    fi
                }
            :: else ->
#ifdef NO_CLAIM
                atomic { taken = TAKEN; assert(!taker_has); taker_has = true; asked = true };
#else
                atomic {
                    if
                    :: taken == ASKED -> taken = TAKEN; assert(!taker_has); taker_has = true; asked = true
                    :: else
                    fi
                };
#endif
                if
                :: asked ->
                    assert(data == wrote);
                    atomic { wrote = wrote + 1; data = wrote };
                    atomic { taker_has = false; given = true; asked = false }
                :: else
                fi
            fi
        :: else
        fi;
        asking = false
    :: asks == 0 -> break
    od
}
