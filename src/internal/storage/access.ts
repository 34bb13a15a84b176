/**
 * How operations reach a connection: alone, in a transaction, or together with other writes of the same turn.
 *
 * Knows nothing of SQL. An `Engine` says how a connection is had and which commands open and end a transaction;
 * `Access` adds what every engine needs: one place to look for the transaction a fiber is in, one gate a level so that
 * concurrent fibers of one transaction cannot tear each other's savepoints, waiting for locks without blocking the
 * event loop, and group commit.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Random from "effect/Random"
import * as Runtime from "effect/Runtime"
import type * as Schedule from "effect/Schedule"
import { type Call, traced } from "./call.js"
import { canWait, clockOf, dueTurn, isTraced, isTurnDue, realMillis, waitFor } from "./compat.js"
import { closedFault, Fault } from "./fault.js"
import { Gate, hold, type Restore, type Settle, type Wait } from "./gate.js"
import { metrics, record } from "./metrics.js"
import { makeTag } from "./transactions.js"

/**
 * A transaction, or a savepoint in one. Operations in it pass its gate, and a nested transaction holds that gate from
 * its savepoint to its release.
 *
 * @internal
 */
export interface Level<C> {
  readonly connection: C
  readonly gate: Gate
  readonly depth: number
  readonly parent: Level<C> | undefined
  ended: boolean
  /** Whether it is somebody else's: the user's own SQL opened it. */
  readonly foreign: boolean
  /** Set when the engine ended the transaction by itself. */
  broken: Fault | undefined
  /** The last failure in it, which may be why the engine does no more in it. */
  failure: Fault | undefined
  /** What is to be done once it is committed, with all that it is nested in. */
  readonly onCommit: Array<() => void>
}

/**
 * What the connection of a level asks and tells with every statement, whoever runs it.
 *
 * @internal
 */
export interface Guard<X> {
  /** Why nothing can be done in the level any more, if so. */
  readonly end: () => Fault | undefined
  readonly failed: (error: X) => Effect.Effect<void>
}

/**
 * What `Access` has to be told about an engine. `X` is the engine's own error.
 *
 * @internal
 */
export interface Engine<C, X> {
  /** Runs `self` with a connection to itself, outside of any transaction, then settles. */
  readonly exclusive: <A, R, B, E>(
    self: (connection: C) => Effect.Effect<A, X | Fault, R>,
    settle: Settle<A, X | Fault, B, E, R>,
    wait: () => Wait<E>
  ) => Effect.Effect<B, E, R>
  /** Whether there is one connection only, so that nobody else does anything while a transaction is open. */
  readonly single: boolean
  readonly begin: (connection: C, serializable: boolean) => Effect.Effect<void, X>
  /** On a single connection it can be tried again. */
  readonly commit: (connection: C) => Effect.Effect<void, X>
  readonly rollback: (connection: C) => Effect.Effect<void, X>
  readonly savepoint: (connection: C, name: string) => Effect.Effect<void, X>
  readonly release: (connection: C, name: string) => Effect.Effect<void, X>
  readonly rollbackTo: (connection: C, name: string) => Effect.Effect<void, X>
  readonly classify: (error: X) => Fault
  /** The same connection, on which nothing fails only because it failed before. Levels have it. */
  readonly careful: (connection: C) => C
  /** Whether the transaction that was begun on the connection is still open after something in it failed. */
  readonly isOpen: (connection: C) => Effect.Effect<boolean>
  /** What else the body of a transaction finds in its context. */
  readonly enter: <R>(context: Context.Context<R>, level: Level<C>) => Context.Context<R>
  /** The same connection, on which every statement asks and tells the guard. */
  readonly guarded: (connection: C, guard: Guard<X>) => C
  /** The level of a transaction that somebody else opened on this engine's connection, if the fiber is in one. */
  readonly joined: (
    context: Context.Context<never>,
    makeLevel: (connection: C, gate: Gate) => Level<C>
  ) => Level<C> | undefined
  /** Whether one transaction for many writes is cheaper than a connection for each. */
  readonly coalesce: boolean
  readonly lockTimeout: Duration.Duration
  /** Whether something failed because it was lost to a conflict, also if it is not our own error. */
  readonly isLost: (error: unknown) => boolean
  /** The name of the database system, as spans tell it. */
  readonly system: string
}

/**
 * Where something is done: outside of any transaction, in one that was opened here, or in one of somebody else's.
 *
 * @internal
 */
export type Place = "alone" | "own" | "foreign"

/**
 * One operation's work on a connection. It reads the clock when it runs, not when it was asked for.
 *
 * @internal
 */
export type Body<C, X, B> = (connection: C, clock: Clock.Clock, place: Place) => Effect.Effect<B, X | Fault>

/** What an operation has to know of the fiber that runs it. */
interface Here<C> {
  readonly clock: Clock.Clock
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  /** The transaction the fiber is in. */
  readonly level: Level<C> | undefined
  readonly restore: Restore
  /** From when its waits count against the time-out, if that is earlier than the first: `realMillis`. */
  readonly from: number | undefined
  /** When it began to wait, if it does: `realMillis`. */
  since: number | undefined
  /** How long it had waited when its work began. */
  waited: number | undefined
}

interface Job<C, X> {
  /** Does the work in the transaction of its batch. The exit says whether it went wrong; the job keeps its result. */
  readonly run: (connection: C) => Effect.Effect<Exit.Exit<unknown, X | Fault>>
  /** Tells the waiting fiber: its own result, or why the whole batch failed. */
  readonly settle: (failure: Cause.Cause<Fault> | undefined) => void
  /** Since when the fiber waits: `realMillis`. */
  readonly since: number
  state: "queued" | "started" | "settled"
}

const breakUp = <C>(level: Level<C>, fault: Fault): void => {
  for (let at: Level<C> | undefined = level; at !== undefined; at = at.parent) at.broken ??= fault
}

/** Why nothing can be done in the level any more, if so. */
const endOf = <C>(level: Level<C>): Fault | undefined => {
  for (let at: Level<C> | undefined = level; at !== undefined; at = at.parent) {
    if (at.ended) return closedFault
    if (at.broken !== undefined) return at.broken
  }
  return undefined
}

const placeIn = <C>(level: Level<C> | undefined): Place => level?.foreign === true ? "foreign" : "own"

/** What is behind a fault: an earlier failure in the same transaction, perhaps. */
const originOf = <C>(level: Level<C> | undefined, fault: Fault): Fault =>
  fault.kind === "aftermath" ? level?.failure ?? fault : fault

/** The pause before another attempt: short at first, never long, and not the same for two who wait. */
const backOff = (retries: number): Effect.Effect<unknown> =>
  Effect.flatMap(Random.next, (random) => waitFor(Math.min(2 ** retries, 20) * (0.5 + random)))

/** A call for many, each of which has its own. */
const unnamed: Call<Fault> = { fail: identity }

/** @internal */
export class Access<C, X> {
  /** Says which transaction a fiber is in. A tag for each client, so that two databases do not mix. */
  private readonly tag: Context.Tag<Level<C>, Level<C>>
  private savepoints = 0
  private closed = false
  /** A rollback failed: the next transaction first makes sure that none is open. */
  private unsure = false

  private readonly queue = new Set<Job<C, X>>()
  private flushing = false
  private readonly onIdle: Array<() => void> = []
  /** The fiber that wrote in this turn of the event loop. */
  private writer: Fiber.RuntimeFiber<unknown, unknown> | undefined

  private readonly lockMillis: number

  constructor(private readonly engine: Engine<C, X>, private readonly runtime: Runtime.Runtime<never>) {
    this.lockMillis = Duration.toMillis(engine.lockTimeout)
    this.tag = makeTag()
  }

  /** One statement: by itself, or in the transaction that the fiber is in. */
  run<A, B, E>(body: Body<C, X, B>, done: (value: B) => A, call: Call<E>): Effect.Effect<A, E> {
    return this.here(call, (at) => this.use(at, body, (value) => Effect.succeed(done(value)), call))
  }

  /**
   * As `run`, for what changes nothing: on a connection of its own it can be left alone. It is not cancelled, as that takes
   * another connection, and may come so late that it hits somebody else's statement.
   */
  read<A, B, E>(body: Body<C, X, B>, done: (value: B) => A, call: Call<E>): Effect.Effect<A, E> {
    if (this.engine.single) return this.run(body, done, call)
    return this.here(call, (at) => {
      const self = this.use(at, body, (value) => Effect.succeed(done(value)), call)
      if (at.level !== undefined) return self
      return Effect.flatMap(
        Effect.forkDaemon(self),
        (fiber) => Effect.onInterrupt(at.restore(Fiber.join(fiber)), () => Fiber.interruptFork(fiber))
      )
    })
  }

  /** A statement of the user's own. It can be interrupted, unless all others had to wait for the end of it. */
  statement<A, E>(body: (connection: C) => Effect.Effect<A, X>, fail: (fault: Fault) => E): Effect.Effect<A, E> {
    return this.here(
      { fail },
      (at) =>
        this.use(at, this.engine.single ? body : (connection) => at.restore(body(connection)), Effect.succeed<A>, {
          fail
        })
    )
  }

  /**
   * What changes something at once or not at all: as `run`, but writes of several fibers in one turn share a transaction,
   * and one that fails leaves somebody else's transaction as it was.
   */
  write<A, B, E>(body: Body<C, X, B>, done: (value: B) => A, call: Call<E>): Effect.Effect<A, E> {
    return this.here(call, (at) => {
      if (this.isQueued(at)) return this.queued(at, body, done, call)
      return at.level?.foreign === true && !this.engine.single
        ? this.whole(at, body, done, call)
        : this.use(at, body, (value) => Effect.succeed(done(value)), call)
    })
  }

  /**
   * Locks and reads, then writes what `write` takes, with nobody in between; shares a transaction as `write` does. Where
   * it has nothing to write, which `isKept` tells, the lock is undone, unless the transaction is somebody else's: whose
   * own work in it may be undone with that.
   */
  update<A, B, E>(
    body: Body<C, X, B>,
    done: (value: B) => A,
    isKept: (value: B) => boolean,
    call: Call<E>
  ): Effect.Effect<A, E> {
    return this.here(call, (at) =>
      this.isQueued(at)
        ? this.queued(at, body, done, call)
        : this.whole(at, body, done, call, isKept))
  }

  /** Several statements, all or none: in a transaction of their own or under a savepoint. */
  atomic<A, B, E>(body: Body<C, X, B>, done: (value: B) => A, call: Call<E>): Effect.Effect<A, E> {
    return this.here(call, (at) => this.whole(at, body, done, call))
  }

  /** Runs `self` in a transaction, or under a savepoint in the one the fiber is in. */
  transaction<A, E, R, E2>(self: Effect.Effect<A, E, R>, call: Call<E2>): Effect.Effect<A, E | E2, R> {
    return this.here(call, (at) =>
      this.use(
        at,
        (plain) => {
          const connection = at.level === undefined ? this.engine.careful(plain) : plain
          const level = this.makeLevel(connection, at.level)
          const inner = at.restore(Effect.mapInputContext(self, (context: Context.Context<R>) =>
            this.engine.enter(Context.add(context, this.tag, level), level)))
          // The wait for its end is not that for its beginning.
          const outer = { ...at, from: undefined, since: undefined }
          return this.bracket(outer, connection, inner, { fail: call.fail, level, serializable: true })
        },
        identity<Exit.Exit<A, E | E2>>,
        call
      ))
  }

  /**
   * Runs again what was lost to a conflict, on a schedule or for as long as one may wait for a lock. In a transaction there
   * is no sense in that: it is lost with all that it has read.
   */
  retrying<A, E, R>(
    self: Effect.Effect<A, E, R>,
    schedule: Schedule.Schedule<unknown> | undefined,
    isLost: (error: E) => boolean
  ): Effect.Effect<A, E, R> {
    return Effect.flatMap(this.level, (level) => {
      if (level !== undefined) return self
      const again = (error: E) => isLost(error) || this.engine.isLost(error)
      if (schedule !== undefined) return Effect.retry(self, { schedule, while: again })
      const deadline = realMillis() + this.lockMillis
      const attempt = (retries: number): Effect.Effect<A, E, R> =>
        Effect.catchIf(
          self,
          (error) => again(error) && realMillis() < deadline,
          () => Effect.flatMap(backOff(retries), () => attempt(retries + 1))
        )
      return attempt(0)
    })
  }

  /** Waits until what was queued is written; not in a transaction, for whose end the queue itself waits. */
  readonly flush: Effect.Effect<void> = Effect.flatMap(
    Effect.context<never>(),
    (context) =>
      this.levelOf(context) !== undefined || !this.flushing
        ? Effect.void
        : Effect.async<void>((resume) => {
          this.onIdle.push(() => resume(Effect.void))
        })
  )

  /** Finishes what was queued; from then on everything fails as closed. */
  readonly close: Effect.Effect<void> = Effect.zipRight(
    this.flush,
    Effect.sync(() => {
      this.closed = true
    })
  )

  /** Whether an operation of the fiber needs nothing but the connection: no transaction, no span, no turn of the loop. */
  isPlain(fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return !this.closed && this.levelOf(fiber.currentContext) === undefined && !isTraced(fiber) && !isTurnDue()
  }

  /** The transaction that the fiber is in. */
  readonly level: Effect.Effect<Level<C> | undefined> = Effect.map(
    Effect.context<never>(),
    (context) => this.levelOf(context)
  )

  /** Fails if nothing can be done any more in the level, or outside of any. */
  check(level: Level<C> | undefined): Effect.Effect<void, Fault> {
    return Effect.suspend(() => {
      const end = level === undefined ? this.closed ? closedFault : undefined : endOf(level)
      return end === undefined ? Effect.void : Effect.fail(end)
    })
  }

  /** Looks once at the fiber that runs this, in a region where only what is restored can be interrupted. */
  private here<A, E, R>(
    { keyspace, method }: Call<unknown>,
    use: (at: Here<C>) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiberRuntime<A, E, R>((fiber) => {
        const at: Here<C> = {
          clock: clockOf(fiber),
          fiber,
          from: undefined,
          level: this.levelOf(fiber.currentContext),
          restore,
          since: undefined,
          waited: undefined
        }
        // Where operations wait for a server, the event loop turns anyway.
        const self = this.engine.single && isTurnDue() && canWait(fiber)
          ? Effect.flatMap(restore(dueTurn), () => use(at))
          : use(at)
        return method !== undefined && isTraced(fiber) ? traced(self, { keyspace, method }, this.engine.system) : self
      })
    )
  }

  /** `foreign`: of somebody else's transaction, the gate of its connection. */
  private readonly makeLevel = (connection: C, parent: Level<C> | undefined, foreign?: Gate): Level<C> => {
    const level: Level<C> = {
      broken: undefined,
      connection: this.engine.guarded(connection, {
        end: () => endOf(level),
        failed: (error) => this.afterFailure(level, connection, error)
      }),
      depth: parent === undefined ? 0 : parent.depth + 1,
      ended: false,
      failure: undefined,
      foreign: foreign !== undefined,
      gate: foreign ?? new Gate(),
      onCommit: [],
      parent
    }
    return level
  }

  private levelOf(context: Context.Context<never>): Level<C> | undefined {
    return context.unsafeMap.get(this.tag.key) ??
      this.engine.joined(context, (connection, gate) => this.makeLevel(connection, undefined, gate))
  }

  /**
   * Has `body` run on a connection that nobody else uses meanwhile: the level's, or one outside of any transaction.
   * Outside, it runs again for as long as it finds the database locked and there is time.
   */
  private use<A, B, R, E>(
    at: Here<C>,
    body: (connection: C, clock: Clock.Clock, place: Place) => Effect.Effect<B, X | Fault, R>,
    done: (value: B) => Effect.Effect<A, E>,
    { fail, keyspace }: Call<E>
  ): Effect.Effect<A, E, R> {
    const { clock, level, restore } = at
    const run = (connection: C) => {
      if (at.since !== undefined) at.waited = realMillis() - at.since
      return body(connection, clock, level === undefined ? "alone" : placeIn(level))
    }
    const failed = (fault: Fault) => {
      if (at.since !== undefined) record(metrics.lockWait, keyspace, at.waited ?? realMillis() - at.since)
      return Effect.fail(fail(fault))
    }
    const succeeded = (value: B) => {
      if (at.waited !== undefined) record(metrics.lockWait, keyspace, at.waited)
      return done(value)
    }
    const wait = (): Wait<E> => ({
      millis: this.timeLeft(at),
      onTimeout: () => fail(this.busy("other work on this connection")),
      restore
    })
    if (level !== undefined) {
      return hold(
        level.gate,
        (): Effect.Effect<B, X | Fault, R> => {
          const end = endOf(level)
          return end === undefined ? run(level.connection) : Effect.fail(end)
        },
        {
          onFailure: (cause) => this.failing(cause, (fault) => failed(originOf(level, fault))),
          onSuccess: succeeded
        },
        wait
      )
    }
    if (this.closed) return Effect.fail(fail(closedFault))
    const attempt = (retries: number): Effect.Effect<A, E, R> =>
      this.engine.exclusive(
        (connection) => run(retries === 0 ? connection : this.engine.careful(connection)),
        {
          onFailure: (cause) =>
            this.failing(cause, (fault) => {
              if (fault.kind === "remembered" && retries === 0) return attempt(1)
              if (fault.reason !== "Busy" || fault.kind === "waited") return failed(fault)
              return this.timeLeft(at) > 0
                ? Effect.flatMap(restore(backOff(retries)), () => attempt(retries + 1))
                : failed(this.busy("another connection", fault))
            }),
          onSuccess: succeeded
        },
        wait
      )
    return attempt(0)
  }

  /**
   * Some failures end the whole transaction (a full disk, `ON CONFLICT ROLLBACK`). What followed would no longer be in
   * one, so nothing may follow.
   */
  private afterFailure(level: Level<C>, connection: C, error: X): Effect.Effect<void> {
    const fault = this.faultOf(error)
    if (fault.kind !== "aftermath") level.failure = fault
    return Effect.map(this.engine.isOpen(connection), (open) => {
      if (!open) breakUp(level, fault)
    })
  }

  /** All waits of one operation share one time-out, which begins with the first. */
  private timeLeft(at: Here<C>): number {
    at.since ??= realMillis()
    return this.lockMillis - (realMillis() - (at.from ?? at.since))
  }

  private failing<A, E, R>(
    cause: Cause.Cause<X | Fault>,
    onFault: (fault: Fault) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    const failure = Cause.failureOrCause(cause)
    return Either.isLeft(failure) ? onFault(this.faultOf(failure.left)) : Effect.failCause(failure.right)
  }

  private faultOf(error: X | Fault): Fault {
    return error instanceof Fault ? error : this.engine.classify(error)
  }

  private busy(holder: string, cause?: Fault): Fault {
    return new Fault(
      "Busy",
      `${holder} held the lock for longer than the lock time-out of ${
        Duration.format(this.engine.lockTimeout)
      }; keep transactions short or raise lockTimeout`,
      cause?.cause
    )
  }

  /** Opens a transaction or savepoint, runs `inner`, ends it. Fails only if it could not open; the rest is the Exit. */
  private bracket<A, E, R, E2>(
    at: Here<C>,
    connection: C,
    inner: Effect.Effect<A, E, R>,
    { fail, isKept, level, serializable = false }: {
      readonly fail: (fault: Fault) => E2
      /** Whether it is to succeed and be rolled back. */
      readonly isKept?: ((value: A) => boolean) | undefined
      readonly level?: Level<C>
      readonly serializable?: boolean
    }
  ): Effect.Effect<Exit.Exit<A, E | E2>, X, R> {
    const { engine } = this
    const { level: parent } = at
    const name = `effect_kv_${++this.savepoints}`
    const [begin, commit, rollback] = parent === undefined
      ? [this.begin(connection, serializable), this.commit(connection, at), this.rollback(connection)]
      : [
        engine.savepoint(connection, name),
        Effect.mapError(engine.release(connection, name), (error) => this.faultOf(error)),
        Effect.ignore(Effect.zipRight(engine.rollbackTo(connection, name), engine.release(connection, name)))
      ]
    const undo = (exit: Exit.Exit<A, E | E2>) => Effect.as(rollback, exit)
    return Effect.flatMap(
      begin,
      () =>
        Effect.flatMap(
          Effect.exit(inner),
          (exit) =>
            Effect.flatMap(level === undefined ? Effect.void : this.end(level), () => {
              if (Exit.isFailure(exit) || isKept?.(exit.value) === true) return undo(exit)
              if (level?.broken !== undefined) return undo(Exit.fail(fail(level.broken)))
              return Effect.matchEffect(commit, {
                onFailure: (fault) => undo(Exit.fail(fail(originOf(level, fault)))),
                onSuccess: () => {
                  if (parent !== undefined) parent.onCommit.push(...level?.onCommit ?? [])
                  else level?.onCommit.forEach((done) => done())
                  return Effect.succeed<Exit.Exit<A, E | E2>>(exit)
                }
              })
            })
        )
    )
  }

  /** Lets the operation that is under way in the level finish; later ones fail as closed. */
  private end(level: Level<C>): Effect.Effect<void> {
    const end = Effect.sync(() => {
      level.ended = true
    })
    return hold(level.gate, () => end, { onFailure: Effect.failCause, onSuccess: () => Effect.void }, () => ({
      onTimeout: () => this.busy("a transaction nested in a fiber that outlives this one"),
      millis: this.lockMillis,
      restore: identity
    })).pipe(Effect.catchAll((fault) =>
      Effect.zipRight(
        end,
        Effect.sync(() => {
          level.broken ??= fault
        })
      )
    ))
  }

  private begin(connection: C, serializable: boolean): Effect.Effect<void, X> {
    return Effect.suspend(() => {
      const begin = this.engine.begin(connection, serializable)
      if (!this.unsure) return begin
      this.unsure = false
      return Effect.zipRight(Effect.ignore(this.engine.rollback(connection)), begin)
    })
  }

  /** A commit may find a single connection's database locked as well; it is tried again for as long as there is time. */
  private commit(connection: C, at: Here<C>): Effect.Effect<void, Fault> {
    const attempt = (retries: number): Effect.Effect<void, Fault> =>
      Effect.catchAll(this.engine.commit(connection), (error) => {
        const fault = this.faultOf(error)
        return fault.reason === "Busy" && this.engine.single && this.timeLeft(at) > 0
          ? Effect.flatMap(backOff(retries), () => attempt(retries + 1))
          : Effect.fail(fault)
      })
    return attempt(0)
  }

  private rollback(connection: C): Effect.Effect<void> {
    return Effect.catchAll(this.engine.rollback(connection), () =>
      Effect.sync(() => {
        this.unsure = this.engine.single
      }))
  }

  /**
   * A fiber that is alone in writing during this turn of the event loop writes at once. Others of the same turn, and
   * whoever comes while those are being written, share a transaction.
   */
  private isQueued({ fiber, level }: Here<C>): boolean {
    if (!this.engine.coalesce || level !== undefined || !canWait(fiber)) return false
    if (this.flushing) return true
    if (this.writer === undefined) {
      this.writer = fiber
      queueMicrotask(() => {
        this.writer = undefined
      })
    }
    return this.writer !== fiber
  }

  private queued<A, B, E>(
    { clock, restore }: Here<C>,
    body: Body<C, X, B>,
    done: (value: B) => A,
    { fail }: Call<E>
  ): Effect.Effect<A, E> {
    return restore(Effect.async<A, E>((resume) => {
      let result: Exit.Exit<B, X | Fault> | undefined
      const onSettled: Array<() => void> = []
      const job: Job<C, X> = {
        run: (connection) => Effect.map(Effect.exit(body(connection, clock, "own")), (exit) => result = exit),
        settle: (failure) => {
          job.state = "settled"
          resume(
            result !== undefined && failure === undefined
              ? Exit.mapBoth(result, { onFailure: (error) => fail(this.faultOf(error)), onSuccess: done })
              : Effect.failCause(Cause.map(failure ?? Cause.empty, fail))
          )
          for (const settled of onSettled) settled()
        },
        since: realMillis(),
        state: "queued"
      }
      this.queue.add(job)
      if (!this.flushing) {
        this.flushing = true
        // Not at once: the others of this turn are still to come.
        Runtime.runFork(this.runtime)(this.writeQueued, { immediate: false })
      }
      // Interrupted before it began, it is never written. Afterwards its end is waited for, so that it cannot overwrite
      // what is written next.
      return Effect.async<void>((resume) => {
        if (job.state === "started") {
          onSettled.push(() => resume(Effect.void))
        } else {
          job.state = "settled"
          this.queue.delete(job)
          resume(Effect.void)
        }
      })
    }))
  }

  /** Writes what is queued in one transaction, then what was queued meanwhile, until nothing is. */
  private readonly writeQueued: Effect.Effect<void> = this.here(unnamed, (at) => {
    const [first] = this.queue
    if (first === undefined) {
      this.flushing = false
      for (const wake of this.onIdle.splice(0)) wake()
      return Effect.void
    }
    const jobs = Array.from(this.queue)
    this.queue.clear()
    const settle = (failure: Cause.Cause<Fault> | undefined) => {
      const busy = failure !== undefined && Cause.isFailType(failure) && failure.error.reason === "Busy"
      const again = jobs.filter((job) => busy && job.state === "queued" && realMillis() - job.since < this.lockMillis)
      const later = Array.from(this.queue)
      this.queue.clear()
      for (const job of [...again, ...later]) this.queue.add(job)
      for (const job of jobs) {
        if (!this.queue.has(job)) job.settle(failure)
      }
      return this.writeQueued
    }
    return Effect.matchCauseEffect(
      this.atomically(
        { ...at, from: first.since, level: undefined },
        (connection) => this.runAll(jobs, connection),
        unnamed
      ),
      { onFailure: settle, onSuccess: () => settle(undefined) }
    )
  })

  /** What goes wrong with one job is its own affair, unless the transaction of all of them is gone with it. */
  private runAll(jobs: ReadonlyArray<Job<C, X>>, connection: C): Effect.Effect<void, X | Fault> {
    return Effect.forEach(jobs, (job) =>
      Effect.suspend(() => {
        if (job.state === "settled") return Effect.void
        job.state = "started"
        return Effect.flatMap(job.run(connection), (exit) =>
          Exit.isSuccess(exit)
            ? Effect.void
            : Effect.flatMap(this.engine.isOpen(connection), (open) => open ? Effect.void : Effect.asVoid(exit)))
      }), { discard: true })
  }

  private whole<A, B, E>(
    at: Here<C>,
    body: Body<C, X, B>,
    done: (value: B) => A,
    call: Call<E>,
    isKept?: (value: B) => boolean
  ): Effect.Effect<A, E> {
    return Effect.mapBoth(this.atomically(at, body, call, isKept), { onFailure: call.fail, onSuccess: done })
  }

  private atomically<B>(
    at: Here<C>,
    body: Body<C, X, B>,
    { keyspace }: Call<unknown>,
    isKept?: (value: B) => boolean
  ): Effect.Effect<B, Fault> {
    return this.use(
      at,
      (plain) => {
        const { level } = at
        const connection = level === undefined ? this.engine.careful(plain) : plain
        const place = placeIn(level)
        const inner = body(connection, at.clock, place)
        return Effect.flatten(this.bracket(at, connection, inner, {
          fail: identity<Fault>,
          isKept: place === "foreign" ? undefined : isKept
        }))
      },
      Effect.succeed<B>,
      { fail: identity<Fault>, keyspace }
    )
  }
}
