/**
 * A first-in-first-out mutex: one holder at a time, and the one who leaves hands the gate to the next waiter.
 *
 * `Effect.makeSemaphore` is not used because a busy fiber overtakes its waiters for ever, and because taking a free
 * permit costs as much as a whole SQLite read.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

interface Waiter {
  granted: boolean
  wake: (() => void) | undefined
}

/** @internal */
export class Gate {
  private held = false
  private readonly waiters = new Set<Waiter>()

  /** Takes the gate if nobody holds it; while anybody waits, somebody holds it. */
  tryAcquire(): boolean {
    if (this.held) return false
    this.held = true
    return true
  }

  release(): void {
    for (const next of this.waiters) {
      this.waiters.delete(next)
      next.granted = true
      next.wake?.()
      return
    }
    this.held = false
  }

  enqueue(): Waiter {
    const waiter: Waiter = { granted: false, wake: undefined }
    this.waiters.add(waiter)
    return waiter
  }

  /** Gives up a place in the queue, or the gate itself if it was granted in the meantime. */
  cancel(waiter: Waiter): void {
    if (waiter.granted) this.release()
    else this.waiters.delete(waiter)
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
  readonly timeout: Duration.Duration
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
  const granted = Effect.async<void>((resume) => {
    if (waiter.granted) resume(Effect.void)
    else waiter.wake = () => resume(Effect.void)
  })
  return Effect.onError(
    // The wait ends in time also where nothing can be interrupted.
    wait.restore(
      Effect.timeoutFail(Effect.interruptible(granted), { duration: wait.timeout, onTimeout: wait.onTimeout })
    ),
    () => Effect.sync(() => gate.cancel(waiter))
  )
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
