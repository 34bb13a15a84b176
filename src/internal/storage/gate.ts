/**
 * A mutex for short work: first in, first out, within a bound.
 *
 * Who leaves hands the gate to the next in line. Done strictly, that makes a convoy: once one fiber is preempted while
 * it holds the gate, everybody queues for every operation ever after. So a fiber that is running may take a gate that
 * was just freed before the next in line is awake, but only so many times in a row.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { waitFor } from "./compat.js"

interface Waiter {
  granted: boolean
  wake: (() => void) | undefined
}

/** How often in a row those in line may be overtaken. */
const maxOvertakes = 64

/** @internal */
export class Gate {
  private held = false
  private readonly waiters = new Set<Waiter>()
  private overtakes = 0
  private handingOver = false

  /** Takes the gate if nobody holds it. */
  tryAcquire(): boolean {
    if (this.held) return false
    this.held = true
    if (this.waiters.size > 0) this.overtakes++
    return true
  }

  release(): void {
    if (this.waiters.size > 0 && this.overtakes >= maxOvertakes) return this.handOver()
    this.held = false
    if (this.waiters.size === 0 || this.handingOver) return
    this.handingOver = true
    queueMicrotask(() => {
      this.handingOver = false
      if (!this.held) this.handOver()
    })
  }

  enqueue(): Waiter {
    const waiter: Waiter = { granted: false, wake: undefined }
    this.waiters.add(waiter)
    return waiter
  }

  /** Gives up a place in line, or the gate itself if it was granted in the meantime. */
  cancel(waiter: Waiter): void {
    if (waiter.granted) this.release()
    else this.waiters.delete(waiter)
  }

  private handOver(): void {
    this.overtakes = 0
    for (const next of this.waiters) {
      this.waiters.delete(next)
      this.held = true
      next.granted = true
      next.wake?.()
      return
    }
    this.held = false
  }
}

/** @internal */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * What to do with the outcome of `self` once the gate is free again.
 *
 * @internal
 */
export interface Settle<A, E, B, E2, R> {
  readonly onFailure: (cause: Cause.Cause<E>) => Effect.Effect<B, E2, R>
  readonly onSuccess: (value: A) => Effect.Effect<B, E2, R>
}

/**
 * How to wait for a gate: in a region that can be interrupted, and not for ever.
 *
 * @internal
 */
export interface Wait<E> {
  readonly restore: Restore
  readonly millis: number
  readonly onTimeout: () => E
}

/**
 * Takes the gate. To be called in an uninterruptible region: only the wait is restored, and neither an interruption
 * nor a time-out of the wait can leak the gate.
 *
 * @internal
 */
export const acquire = <E>(gate: Gate, wait: Wait<E>): Effect.Effect<void, E> => {
  if (gate.tryAcquire()) return Effect.void
  const waiter = gate.enqueue()
  const granted = waitFor(wait.millis, (done) => {
    if (waiter.granted) done()
    else waiter.wake = done
  })
  return Effect.matchCauseEffect(wait.restore(granted), {
    onFailure: (cause) => {
      gate.cancel(waiter)
      return Effect.failCause(cause)
    },
    onSuccess: () => {
      if (waiter.granted) return Effect.void
      gate.cancel(waiter)
      return Effect.fail(wait.onTimeout())
    }
  })
}

/**
 * Runs `self` holding the gate, frees the gate, then settles. To be called in an uninterruptible region, in which
 * `self` runs too.
 *
 * @internal
 */
export const hold = <A, E, R, B, E2>(
  gate: Gate,
  self: () => Effect.Effect<A, E, R>,
  settle: Settle<A, E, B, E2, R>,
  wait: () => Wait<E2>
): Effect.Effect<B, E2, R> =>
  gate.tryAcquire()
    ? holding(gate, self, settle)
    : Effect.flatMap(acquire(gate, wait()), () => holding(gate, self, settle))

const holding = <A, E, R, B, E2>(
  gate: Gate,
  self: () => Effect.Effect<A, E, R>,
  settle: Settle<A, E, B, E2, R>
): Effect.Effect<B, E2, R> =>
  Effect.matchCauseEffect(attempt(self), {
    onFailure: (cause) => {
      gate.release()
      return settle.onFailure(cause)
    },
    onSuccess: (value) => {
      gate.release()
      return settle.onSuccess(value)
    }
  })

/** `Effect.suspend` without its cost: a throw must not leave the gate shut. */
const attempt = <A, E, R>(self: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  try {
    return self()
  } catch (defect) {
    return Effect.die(defect)
  }
}
