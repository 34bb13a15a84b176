/**
 * Single-flight: of all who ask for the same at the same time, one computes, and all have its outcome.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { inTransaction } from "../storage/transactions.js"

interface Flight<A> {
  readonly outcome: Deferred.Deferred<A, unknown>
  readonly fiber: Fiber.Fiber<unknown, unknown>
  waiting: number
}

/** @internal */
export class Flights<A> {
  private readonly flying = new Map<string, Flight<A>>()
  /** How many have ended. */
  landed = 0

  /**
   * Joins the flight of a key, or starts it in a fiber of its own, which ends when nobody waits for it any more. In a
   * transaction everybody flies alone: a flight would wait for the connection that the one who waits for it holds.
   */
  join<E, R>(key: string, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.contextWithEffect((context) =>
      inTransaction(context) ?
        self :
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(this.board(key, self), (flight) =>
            Effect.ensuring(
              // Whoever joins must expect the failures of another one's effect.
              restore(Deferred.await(flight.outcome) as Effect.Effect<A, E>),
              this.leave(key, flight)
            ))
        )
    )
  }

  private board<E, R>(key: string, self: Effect.Effect<A, E, R>): Effect.Effect<Flight<A>, never, R> {
    return Effect.suspend(() => {
      const flight = this.flying.get(key)
      if (flight !== undefined) {
        flight.waiting++
        return Effect.succeed(flight)
      }
      const outcome = Deferred.unsafeMake<A, unknown>(FiberId.none)
      const landing = Effect.onExit(Effect.interruptible(self), (exit) => {
        this.landed++
        if (this.flying.get(key)?.outcome === outcome) this.flying.delete(key)
        return Deferred.done(outcome, exit)
      })
      return Effect.map(Effect.forkDaemon(landing), (fiber) => {
        const flight = { fiber, outcome, waiting: 1 }
        this.flying.set(key, flight)
        return flight
      })
    })
  }

  private leave(key: string, flight: Flight<A>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (--flight.waiting > 0) return Effect.void
      if (this.flying.get(key) === flight) this.flying.delete(key)
      return Effect.asVoid(Fiber.interrupt(flight.fiber))
    })
  }
}
