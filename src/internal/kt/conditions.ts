/**
 * Conditions by name, for which fibers wait until they are signalled. A signal that nobody waits for is lost.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/**
 * A place among those who wait. It holds until it is left.
 *
 * @internal
 */
export interface Waiter {
  readonly name: string
  readonly woken: Deferred.Deferred<void>
  /** Whether a signal woke it. */
  isWoken: boolean
}

/** @internal */
export class Conditions {
  private readonly waiting = new Map<string, Set<Waiter>>()

  /** Takes a place, so that no signal from now on is missed. */
  enter(name: string): Waiter {
    const waiter: Waiter = { isWoken: false, name, woken: Deferred.unsafeMake(FiberId.none) }
    const all = this.waiting.get(name) ?? new Set()
    this.waiting.set(name, all.add(waiter))
    return waiter
  }

  leave(waiter: Waiter): void {
    const all = this.waiting.get(waiter.name)
    all?.delete(waiter)
    if (all?.size === 0) this.waiting.delete(waiter.name)
  }

  /** Whether one is signalled within so many milliseconds. */
  await({ woken }: Waiter, millis: number): Effect.Effect<boolean> {
    return Effect.raceFirst(
      Effect.as(Deferred.await(woken), true),
      Effect.as(Effect.sleep(Duration.millis(millis)), false)
    )
  }

  /** Wakes the one who has waited longest, or all; tells how many were waiting. */
  signal(name: string, all: boolean): number {
    const waiting = this.waiting.get(name)
    if (waiting === undefined) return 0
    const count = waiting.size
    for (const waiter of waiting) {
      waiter.isWoken = true
      this.leave(waiter)
      Deferred.unsafeDone(waiter.woken, Effect.void)
      if (!all) break
    }
    return count
  }

  /** Whether it is signalled within so many milliseconds. */
  wait(name: string, millis: number): Effect.Effect<boolean> {
    return Effect.acquireUseRelease(
      Effect.sync(() => this.enter(name)),
      (waiter) => this.await(waiter, millis),
      (waiter) => Effect.sync(() => this.leave(waiter))
    )
  }
}

const arrivals = new WeakMap<object, Conditions>()

/**
 * Where those wait who want the next item of a queue, for all who use a storage.
 *
 * @internal
 */
export const arrivalsIn = (storage: object): Conditions => {
  const known = arrivals.get(storage) ?? new Conditions()
  arrivals.set(storage, known)
  return known
}
