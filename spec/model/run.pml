/* SPDX-License-Identifier: MIT
 *
 * The life of one run: its host, its supervisor, runsc with the guest, and what strikes at any moment: the host's death, the
 * supervisor's (kill -9), the guest's end, a limit or a deadline, an error of the host's machine. The host sends any frame at any
 * time, so that an honest one is among those that are looked at.
 *
 * What is claimed: no phase goes back; a host that lives is told one end, or sees the connection end, never two ends; a guest
 * never outlives its supervisor for good; a turn to boot is given back; a run's directory is removed, except by a supervisor that
 * was killed (cleanup_stale's case). A deliberate fault: -DFAULT=1 loses the parent's death signal, 2 tells the result twice,
 * 3 keeps the turn, 4 lets a late frame take a run back.
 *
 * The phases are enum sup_phase, the rows ACCEPT_… the table in sup_frame.c: spec/model_spec.lua compares both with the code.
 */
#ifndef FAULT
#define FAULT 0
#endif
#ifndef FRAMES
#define FRAMES 4	/* that a host sends */
#endif

#define NEW 0
#define ATTACHED 1
#define REQUEST 2
#define TURN 3
#define BOOT 4
#define RUN 5
#define DRAIN 6
#define LINGER 7
#define GONE 8		/* the process has ended */

#define IN(phase) (1 << phase)
#define BEFORE_GO (IN(NEW) | IN(ATTACHED) | IN(REQUEST))
#define STARTED (IN(RUN) | IN(DRAIN) | IN(LINGER))
#define AFTER_GO (IN(TURN) | IN(BOOT) | STARTED)

#define ACCEPT_ATTACH (IN(NEW))
#define ACCEPT_REQUEST (IN(NEW) | IN(ATTACHED))
#define ACCEPT_CONFIG (IN(REQUEST))
#define ACCEPT_FILE (IN(REQUEST))
#define ACCEPT_DATA (IN(REQUEST))
#define ACCEPT_NETWORK (IN(REQUEST) | IN(TURN) | IN(BOOT) | STARTED)
#define ACCEPT_GO (BEFORE_GO)
#define ACCEPT_STDIN (AFTER_GO)
#define ACCEPT_STDIN_END (AFTER_GO)
#define ACCEPT_KILL (BEFORE_GO | AFTER_GO)
#define ACCEPT_LEASE (STARTED)
#define ACCEPT_BUSY (AFTER_GO)

mtype = { attach, request, config, file, data, network, go, stdin_, stdin_end, kill_, lease, busy };	/* host to supervisor */
mtype = { result };										/* supervisor to host */
mtype = { none, booting, running, ended, killed };						/* the guest */

chan frames = [2] of { mtype };
chan told = [2] of { mtype };

byte phase = NEW;
mtype guest = none;
bool host_lives = true;		/* its end of the connection is open */
bool supervisor_lives = true, supervisor_killed = false;
bool error = false, configured = false, reason = false, host_gone = false;
bool turn = false, dir = false;
byte ends = 0;			/* results that the host has read */
bool lost = false;		/* the host saw the connection end without one */

#define to(next) assert(next >= phase); phase = next

inline take()
{
	if
	:: phase < TURN && error -> skip	/* the host is still sending it */
	:: !(phase < TURN && error) && (accepts & IN(phase)) ->
		if
		:: f == attach -> to(ATTACHED); if :: error = true :: skip fi
		:: f == request -> to(REQUEST); dir = true; if :: error = true :: skip fi
		:: f == config -> if :: configured -> error = true :: !configured -> configured = true fi
		:: f == file || f == data || f == network -> if :: error = true :: skip fi
		:: f == go -> if :: phase != REQUEST || !configured -> error = true :: else fi; to(TURN)
		:: f == kill_ && phase < TURN -> reason = true; error = true
		:: f == kill_ && phase >= TURN && phase <= RUN -> reason = true
		:: else -> skip
		fi
	:: !(phase < TURN && error) && !(accepts & IN(phase)) && phase < DRAIN ->
		if
		:: FAULT == 4 && f == request -> to(REQUEST)
		:: else -> error = true
		fi
	:: !(phase < TURN && error) && !(accepts & IN(phase)) && phase >= DRAIN -> host_gone = true
	fi
}

/* One frame, or the end of the connection; never waits. */
inline serve_host()
{
	atomic {
		if
		:: frames?f ->
			if
			:: f == attach -> accepts = ACCEPT_ATTACH
			:: f == request -> accepts = ACCEPT_REQUEST
			:: f == config -> accepts = ACCEPT_CONFIG
			:: f == file -> accepts = ACCEPT_FILE
			:: f == data -> accepts = ACCEPT_DATA
			:: f == network -> accepts = ACCEPT_NETWORK
			:: f == go -> accepts = ACCEPT_GO
			:: f == stdin_ -> accepts = ACCEPT_STDIN
			:: f == stdin_end -> accepts = ACCEPT_STDIN_END
			:: f == kill_ -> accepts = ACCEPT_KILL
			:: f == lease -> accepts = ACCEPT_LEASE
			:: f == busy -> accepts = ACCEPT_BUSY
			fi;
			take()
		:: !host_lives && empty(frames) -> host_gone = true
		fi;
		f = 0; accepts = 0
	}
}

#define served (nempty(frames) || (!host_lives && !host_gone))
#define given_up (host_gone || error || reason)

/* sup_main.c's live(), function by function. */
active proctype supervisor()
{
	mtype f;
	byte accepts;	/* phases */

	{
		/* sup_run_prepare */
		do
		:: phase < TURN && !host_gone -> serve_host()
		:: phase >= TURN || host_gone -> break
		od;
		/* sup_loop_turn: others may have all the turns for as long as they like */
		do
		:: given_up || turn -> break
		:: !given_up && !turn && served -> serve_host()
		:: !given_up && !turn -> turn = true
		od;
		if
		:: !given_up ->
			/* sup_run_start */
			to(BOOT);
			if
			:: error = true		/* a shortage of the host's */
			:: atomic { guest = booting }
			fi;
			/* sup_loop_run */
			do
			:: given_up || guest == ended || guest == killed -> break
			:: !given_up && served -> serve_host()
			:: !given_up && phase == BOOT && guest == running -> to(RUN); if :: FAULT != 3 -> turn = false :: else fi
			:: !given_up && guest != ended -> reason = true; break	/* a limit, the deadline, the boot's */
			od
		:: else
		fi;
		/* sup_loop_end, sup_report_judge */
		to(DRAIN);
		do
		:: host_gone -> break
		:: !host_gone && served -> serve_host()
		:: !host_gone && nfull(told) ->
			if
			:: host_lives -> told!result; if :: FAULT == 2 && nfull(told) -> told!result :: FAULT != 2 || full(told) fi
			:: !host_lives -> host_gone = true
			fi;
			break
		od;
		/* sup_run_teardown */
		atomic { if :: guest == booting || guest == running -> guest = killed :: else fi };
		if :: FAULT != 3 -> turn = false :: else fi;
		dir = false;
		to(LINGER);
		/* sup_loop_linger */
		do
		:: host_gone || empty(told) -> break
		:: !host_gone && nempty(told) && served -> serve_host()
		od;
		atomic { to(GONE); supervisor_lives = false }
	} unless { supervisor_killed }
}

active proctype runsc()
{
end:	do
	:: atomic { guest == booting -> guest = running }
	:: atomic { guest == booting -> guest = ended }
	:: atomic { guest == running -> guest = ended }
	:: guest == running -> skip	/* for as long as it likes */
	od
}

/* PR_SET_PDEATHSIG of runsc, and of its sandbox. */
active proctype kernel()
{
end:	do
	:: atomic { FAULT != 1 && supervisor_killed && (guest == booting || guest == running) -> guest = killed }
	od
}

active proctype host()
{
	byte sent = 0;

end:	do
	:: sent < FRAMES && nfull(frames) && supervisor_lives -> sent++;
		if
		:: frames!attach :: frames!request :: frames!config :: frames!file :: frames!network :: frames!go
		:: frames!stdin_ :: frames!kill_ :: frames!lease
		fi
	:: atomic { told?result -> ends++; assert(ends == 1) }
	:: atomic { !supervisor_lives && empty(told) && ends == 0 && !lost -> lost = true }
	:: atomic { host_lives = false; break }		/* closes, collects, dies */
	od
}

/* kill -9 of the supervisor, or none. The kernel gives its locks back. */
active proctype killer()
{
	if
	:: skip
	:: atomic { supervisor_lives -> supervisor_killed = true; supervisor_lives = false; turn = false }
	fi
}

#define lives (guest == booting || guest == running)
#define left (lives || turn || dir)

/*
 * Once a supervisor has ended by itself, nothing of its run is left. A connection that ended without a result had a supervisor
 * that was killed, or one that had given its host up.
 */
ltl safe { [] ((!supervisor_lives && !supervisor_killed -> !left) && (lost && !supervisor_killed -> host_gone)) }
/* Of one that was killed nothing runs for good; its directory is cleanup_stale's. */
ltl owned { [] (supervisor_killed && lives -> <> !lives) }
