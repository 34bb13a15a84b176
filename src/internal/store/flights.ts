/**
 * Single-flight: of all who ask for the same at the same time, one computes, and all have its outcome.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { inTransaction } from "../storage/transactions.js"

/** A computation of a key. */
interface Waiting {
  readonly flights: unknown
  readonly key: string
  /** The one in which it was asked for. */
  readonly within: Waiting | undefined
  /** The flights it waits for, each once for every fiber of it that does. */
  readonly awaited: Array<Waiting>
}

/** What one fiber computes: a key, or several. */
interface Crew {
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** How many of its flights have passengers. */
  aloft: number
}

interface Flight<A> extends Waiting {
  readonly crew: Crew
  readonly outcome: Deferred.Deferred<A, unknown>
  passengers: number
}

/** What a fiber computes. */
const Current = Context.GenericTag<Waiting>("effect-kv/internal/Flight")

/** Whether one waits for another one, through others perhaps: as many as there are. */
const waitsFor = (from: Waiting, to: Waiting): boolean => {
  const seen = new Set<Waiting>()
  const left = [from]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (next === to) return true
    if (seen.has(next)) continue
    seen.add(next)
    for (const awaited of next.awaited) left.push(awaited)
  }
  return false
}

/**
 * For whom the one who starts it does not wait.
 *
 * @internal
 */
export const detached = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(
    self,
    (context: Context.Context<R>) =>
      Context.unsafeMake(new Map(Array.from(context.unsafeMap).filter(([key]) => key !== Current.key)))
  )

const missing = Exit.die(new Error("effect-kv: a flight was left out of the computation of several"))

/** @internal */
export class Flights<A> {
  private readonly flying = new Map<string, Flight<A>>()
  /** How many have ended. */
  landed = 0

  /**
   * Joins the flight of a key, or starts it in a fiber of its own, which ends when nobody waits for it any more. In a
   * transaction everybody flies alone: a flight would wait for the connection that the one who waits for it holds.
   * Whoever would wait for itself has `onCycle` instead.
   */
  join<E, R, E2>(
    key: string,
    self: Effect.Effect<A, E, R>,
    onCycle: () => Effect.Effect<A, E2, R>
  ): Effect.Effect<A, E | E2, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiberRuntime<A, E | E2, R>((fiber) => {
        const context = fiber.currentContext
        const from: Waiting | undefined = context.unsafeMap.get(Current.key)
        if (inTransaction(context)) return restore(this.alone(key, self, onCycle, from))
        const known = this.flying.get(key)
        if (known !== undefined && from !== undefined && waitsFor(known, from)) return restore(onCycle())
        const flight = known ?? this.take(key, { aloft: 1, fiber: undefined }, [], from)
        this.board(flight, from)
        const waiting = this.outcomeOf<E>(flight, from, restore)
        return known === undefined
          ? Effect.zipRight(this.start(flight.crew, self, flight, (exit) => this.land(flight, exit)), waiting)
          : waiting
      })
    )
  }

  /**
   * Joins the flights of several keys for as long as `use` goes on, which is given what each comes to. Those that nobody
   * has begun are one computation, in one fiber. Not for transactions.
   */
  joinAll<E, R, B, E2, R2>(
    keys: Iterable<string>,
    self: (own: ReadonlySet<string>) => Effect.Effect<ReadonlyMap<string, Exit.Exit<A, E>>, E, R>,
    onCycle: (key: string) => Effect.Effect<A, E>,
    use: (outcomeOf: (key: string) => Effect.Effect<A, E>) => Effect.Effect<B, E2, R2>
  ): Effect.Effect<B, E2, R | R2> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiberRuntime<B, E2, R | R2>((fiber) => {
        const from: Waiting | undefined = fiber.currentContext.unsafeMap.get(Current.key)
        const crew: Crew = { aloft: 0, fiber: undefined }
        const computing: Waiting = { awaited: [], flights: this, key: "", within: from }
        const own = new Map<string, Flight<A>>()
        const joined = new Map<string, Flight<A>>()
        for (const key of keys) {
          const known = this.flying.get(key)
          if (known !== undefined && from !== undefined && waitsFor(known, from)) continue
          const flight = known ?? this.take(key, crew, [computing], from)
          if (known === undefined) own.set(key, flight)
          joined.set(key, flight)
          this.board(flight, from)
        }
        crew.aloft = own.size
        const landing = (exit: Exit.Exit<ReadonlyMap<string, Exit.Exit<A, E>>, E>) =>
          Effect.forEach(own, ([key, flight]) =>
            this.land(flight, Exit.flatMap(exit, (exits) => exits.get(key) ?? missing)), { discard: true })
        const started = own.size === 0
          ? Effect.void
          : this.start(
            crew,
            Effect.suspend(() =>
              self(new Set(own.keys()))
            ),
            computing,
            landing
          )
        const leaving = Effect.forEach(joined.values(), (flight) => this.leave(flight, from), { discard: true })
        const outcomeOf = (key: string): Effect.Effect<A, E> => {
          const flight = joined.get(key)
          return flight === undefined ? onCycle(key) : Effect.uninterruptibleMask((restore) => {
            this.board(flight, from)
            return this.outcomeOf(flight, from, restore)
          })
        }
        return Effect.zipRight(started, Effect.ensuring(restore(use(outcomeOf)), leaving))
      })
    )
  }

  isFlying(key: string): boolean {
    return this.flying.has(key)
  }

  /** Those who come from now on start anew; those who wait have the outcome. Of one key, or of all. */
  supersede(key: string | undefined): void {
    if (key === undefined) this.flying.clear()
    else this.flying.delete(key)
  }

  /** In a transaction. */
  private alone<E, R, E2>(
    key: string,
    self: Effect.Effect<A, E, R>,
    onCycle: () => Effect.Effect<A, E2, R>,
    from: Waiting | undefined
  ): Effect.Effect<A, E | E2, R> {
    for (let at = from; at !== undefined; at = at.within) {
      if (at.flights === this && at.key === key) return onCycle()
    }
    return Effect.provideService(self, Current, { awaited: [], flights: this, key, within: from })
  }

  private board(flight: Flight<A>, from: Waiting | undefined): void {
    flight.passengers++
    from?.awaited.push(flight)
  }

  /** What the flight comes to, for a passenger, who then leaves it. */
  private outcomeOf<E>(
    flight: Flight<A>,
    from: Waiting | undefined,
    restore: <B, E2, R>(self: Effect.Effect<B, E2, R>) => Effect.Effect<B, E2, R>
  ): Effect.Effect<A, E> {
    // Whoever joins must expect the failures of another one's effect.
    return Effect.matchCauseEffect(restore(Deferred.await(flight.outcome) as Effect.Effect<A, E>), {
      onFailure: (cause) => Effect.zipRight(this.leave(flight, from), Effect.failCause(cause)),
      onSuccess: (value) => {
        this.left(flight, from)
        return Exit.succeed(value)
      }
    })
  }

  /** In the same step as the look-up: nobody may come in between. */
  private take(key: string, crew: Crew, awaited: Array<Waiting>, within: Waiting | undefined): Flight<A> {
    const flight: Flight<A> = {
      awaited,
      crew,
      flights: this,
      key,
      outcome: Deferred.unsafeMake(FiberId.none),
      passengers: 0,
      within
    }
    this.flying.set(key, flight)
    return flight
  }

  private start<B, E, R>(
    crew: Crew,
    self: Effect.Effect<B, E, R>,
    computing: Waiting,
    land: (exit: Exit.Exit<B, E>) => Effect.Effect<unknown>
  ): Effect.Effect<void, never, R> {
    const landing = Effect.onExit(Effect.interruptible(Effect.provideService(self, Current, computing)), land)
    return Effect.map(Effect.forkDaemon(landing), (fiber) => {
      crew.fiber = fiber
    })
  }

  private land<E>(flight: Flight<A>, exit: Exit.Exit<A, E>): Effect.Effect<unknown> {
    return Effect.suspend(() => {
      this.landed++
      this.forget(flight)
      return Deferred.done(flight.outcome, exit)
    })
  }

  /** Whether all passengers of the flight's crew have left. */
  private left(flight: Flight<A>, from: Waiting | undefined): boolean {
    const at = from?.awaited.indexOf(flight) ?? -1
    if (at >= 0) from?.awaited.splice(at, 1)
    if (--flight.passengers > 0) return false
    this.forget(flight)
    return --flight.crew.aloft === 0
  }

  /** A crew without passengers does not go on. */
  private leave(flight: Flight<A>, from: Waiting | undefined): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { fiber } = flight.crew
      return this.left(flight, from) && fiber !== undefined ? Effect.asVoid(Fiber.interrupt(fiber)) : Effect.void
    })
  }

  private forget(flight: Flight<A>): void {
    if (this.flying.get(flight.key) === flight) this.flying.delete(flight.key)
  }
}
