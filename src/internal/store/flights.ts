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

interface Flight<A> extends Waiting {
  readonly outcome: Deferred.Deferred<A, unknown>
  fiber: Fiber.Fiber<unknown, unknown> | undefined
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
        const flight: Flight<A> = known ?? {
          awaited: [],
          fiber: undefined,
          flights: this,
          key,
          outcome: Deferred.unsafeMake(FiberId.none),
          passengers: 0,
          within: from
        }
        // In the same step as the look-up: nobody may come in between.
        this.flying.set(key, flight)
        flight.passengers++
        from?.awaited.push(flight)
        // Whoever joins must expect the failures of another one's effect.
        const outcome = restore(Deferred.await(flight.outcome) as Effect.Effect<A, E>)
        const waiting = Effect.matchCauseEffect(outcome, {
          onFailure: (cause) => {
            const { fiber } = flight
            const isLast = this.leave(flight, from)
            return isLast && fiber !== undefined
              ? Effect.zipRight(Fiber.interrupt(fiber), Effect.failCause(cause))
              : Effect.failCause(cause)
          },
          onSuccess: (value) => {
            this.leave(flight, from)
            return Exit.succeed(value)
          }
        })
        return known === undefined ? Effect.zipRight(this.start(flight, self), waiting) : waiting
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

  private start<E, R>(flight: Flight<A>, self: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> {
    const landing = Effect.onExit(Effect.interruptible(Effect.provideService(self, Current, flight)), (exit) => {
      this.landed++
      this.forget(flight)
      return Deferred.done(flight.outcome, exit)
    })
    return Effect.map(Effect.forkDaemon(landing), (fiber) => {
      flight.fiber = fiber
    })
  }

  /** Whether it was the last one, with whom the flight ends if it has not landed. */
  private leave(flight: Flight<A>, from: Waiting | undefined): boolean {
    from?.awaited.splice(from.awaited.indexOf(flight), 1)
    if (--flight.passengers > 0) return false
    this.forget(flight)
    return true
  }

  private forget(flight: Flight<A>): void {
    if (this.flying.get(flight.key) === flight) this.flying.delete(flight.key)
  }
}
