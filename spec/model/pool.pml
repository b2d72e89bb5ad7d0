/* SPDX-License-Identifier: MIT
 *
 * The sandboxes of a pool: made ready step by step by whoever uses the pool, leased to one at a time, given back, destroyed,
 * replaced. At any moment a sandbox dies, a client is killed in the middle (nginx ends a request's coroutines so), the pool is
 * closed.
 *
 * What is claimed: a sandbox has one user at a time; no state goes back but by its return; one that is destroyed stays so, once;
 * of a closed pool nothing is left that no client has; a client who was killed keeps neither turn nor sandbox for good. A
 * deliberate fault: -DFAULT=1 forgets the turn of a killed client, 2 leases what is being looked at, 3 lets a sandbox be made after
 * the close.
 *
 * The states are the keys of `steps` in lua/sandbox/pool/init.lua: spec/model_spec.lua compares them.
 */
#ifndef FAULT
#define FAULT 0
#endif
#define SANDBOXES 2
#define CLIENTS 2
#ifndef LEASES
#define LEASES 1	/* that a client asks for */
#endif

#define NONE 0
#define BOOTING 1
#define BOOTED 2
#define ARMING 3
#define WARMING 4
#define PREPARING 5
#define READY 6
#define LEASED 7

byte state[SANDBOXES];
bool alive[SANDBOXES];		/* its box */
byte users[SANDBOXES];		/* clients that have it */
bool locked[SANDBOXES];		/* somebody takes it a step further, and may wait meanwhile */
byte turns = SANDBOXES;		/* that are free */
bool closed = false;
byte have[CLIENTS];		/* which sandbox, + 1 */
bool turn[CLIENTS], living[CLIENTS];
byte holds[CLIENTS];		/* which lock, + 1 */

/* One that has died, or is not wanted any more. */
inline discard(i) { alive[i] = false; state[i] = NONE }

/* As far as it goes at the moment, by one who has its lock; he may be killed before he gives it back. */
inline step(me, i)
{
	atomic {
		if
		:: !alive[i] -> discard(i)
		:: alive[i] ->
			if
			:: state[i] == BOOTING -> if :: state[i] = BOOTED :: state[i] = ARMING :: state[i] = PREPARING :: skip fi
			:: state[i] == BOOTED -> if :: state[i] = WARMING :: state[i] = PREPARING :: state[i] = READY fi
			:: state[i] == ARMING -> if :: state[i] = READY :: state[i] = BOOTING :: skip fi	/* by itself it did not work */
			:: state[i] == WARMING -> if :: state[i] = BOOTED :: discard(i) :: skip fi
			:: state[i] == PREPARING -> if :: state[i] = READY :: discard(i) :: skip fi
			:: state[i] == READY -> skip
			:: else -> skip
			fi
		fi
	};
	atomic { locked[i] = false; holds[me] = 0 }
}

inline look(me, i)
{
	if
	:: atomic { !locked[i] && state[i] != NONE && state[i] != LEASED -> locked[i] = true; holds[me] = i + 1 };
	   step(me, i)
	:: locked[i] || state[i] == NONE || state[i] == LEASED
	fi
}

#define takeable(i) (!closed && state[i] == READY && (FAULT == 2 || !locked[i]))

inline take(me, i)
{
	state[i] = LEASED; users[i]++; have[me] = i + 1;
	assert(users[i] == 1)
}

inline fill(i)
{
	atomic { if :: (FAULT == 3 || !closed) && state[i] == NONE && !locked[i] -> state[i] = BOOTING; alive[i] = true :: else fi }
}

inline give_back(me, i)
{
	atomic {
		assert(users[i] == 1);
		users[i]--;
		if
		:: closed || !alive[i] -> discard(i)
		:: else -> if :: state[i] = READY :: discard(i) fi
		fi;
		have[me] = 0;
		if :: turn[me] -> turn[me] = false; turns++ :: else fi
	}
}

/* Looks after the pool, or after as much of it as it gets to, until it has a sandbox; uses it; gives it back. */
proctype client(byte me)
{
	byte i, n = 0;

	{
		do
		:: n == LEASES || closed -> break
		:: n < LEASES && !closed ->
			atomic { turns > 0 -> turns--; turn[me] = true };
			do
			:: closed -> break
			:: !closed -> i = 0; fill(i); look(me, i)
			:: !closed -> i = 1; fill(i); look(me, i)
			:: atomic { takeable(0) -> i = 0; take(me, i); break }
			:: atomic { takeable(1) -> i = 1; take(me, i); break }
			od;
			/* its program runs */
			if
			:: have[me] -> give_back(me, i)
			:: !have[me] -> atomic { turn[me] = false; turns++ }
			fi;
			n++
		od;
		living[me] = false
	} unless { !living[me] }
}

/* A box dies; its supervisor sees to that nothing is left of it. */
active proctype death()
{
end:	do
	:: atomic { alive[0] -> alive[0] = false }
	:: atomic { alive[1] -> alive[1] = false }
	:: break
	od
}

/* A client is killed wherever it is; what it held goes with its coroutine: locks and leases are weak, jobs end when collected. */
active proctype killer()
{
	byte c;

	if :: c = 0 :: c = 1 fi;
	if
	:: skip
	:: atomic { living[c] -> living[c] = false };
	   atomic {		/* lock.collect, the leases' weak keys, Box.__gc */
		if :: holds[c] -> locked[holds[c] - 1] = false; holds[c] = 0 :: else fi;
		if :: have[c] -> users[have[c] - 1]--; discard(have[c] - 1); have[c] = 0 :: else fi;
		if :: turn[c] && FAULT != 1 -> turn[c] = false; turns++ :: else fi
	   }
	fi
}

active proctype owner()
{
	byte i = 0;

	if
	:: skip
	:: atomic {
		closed = true;
		do
		:: i < SANDBOXES -> if :: state[i] != LEASED && state[i] != NONE -> discard(i) :: else fi; i++
		:: else -> break
		od
	   }
	fi
}

init
{
	atomic { living[0] = true; living[1] = true; run client(0); run client(1) }
}

#define over (!living[0] && !living[1] && _nr_pr == 1)
#define kept(i) (users[i] > 0 || locked[i])

/* When nobody is at it any more, every turn is free and nothing is held; and of a closed pool nothing is left. */
ltl safe { [] (over -> (turns == SANDBOXES && !kept(0) && !kept(1) && (closed -> state[0] == NONE && state[1] == NONE))) }
