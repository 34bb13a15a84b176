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
  /** When it was entered: what happens is numbered. */
  readonly entered: number
  /** When the signal that woke it was sent. */
  wokenBy: number | undefined
}

/** @internal */
export class Conditions {
  private readonly waiting = new Map<string, Set<Waiter>>()
  private serial = 0

  /** Takes a place, so that no signal from now on is missed. */
  enter(name: string): Waiter {
    const waiter: Waiter = {
      entered: ++this.serial,
      name,
      woken: Deferred.unsafeMake(FiberId.none),
      wokenBy: undefined
    }
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
    const now = ++this.serial
    for (const waiter of waiting) {
      this.wake(waiter, now)
      if (!all) break
    }
    return count
  }

  /** Has a signal wake another one who was waiting when it was sent, if there is one: so it ends with the last of them. */
  passOn({ name, wokenBy }: Waiter): void {
    if (wokenBy === undefined) return
    for (const waiter of this.waiting.get(name) ?? []) {
      if (waiter.entered < wokenBy) return this.wake(waiter, wokenBy)
    }
  }

  private wake(waiter: Waiter, signal: number): void {
    waiter.wokenBy = signal
    this.leave(waiter)
    Deferred.unsafeDone(waiter.woken, Effect.void)
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
