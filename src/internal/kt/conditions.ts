/**
 * Conditions by name, for which fibers wait until they are signalled. A signal that nobody waits for is lost.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** @internal */
export class Conditions {
  private readonly waiting = new Map<string, Set<Deferred.Deferred<void>>>()

  /** Whether it was signalled within so many milliseconds. */
  wait(name: string, millis: number): Effect.Effect<boolean> {
    return Effect.flatMap(Deferred.make<void>(), (woken) =>
      Effect.ensuring(
        Effect.suspend(() => {
          const all = this.waiting.get(name) ?? new Set()
          this.waiting.set(name, all.add(woken))
          return Effect.raceFirst(
            Effect.as(Deferred.await(woken), true),
            Effect.as(Effect.sleep(Duration.millis(millis)), false)
          )
        }),
        Effect.sync(() => this.leave(name, woken))
      ))
  }

  private leave(name: string, woken: Deferred.Deferred<void>): void {
    const all = this.waiting.get(name)
    all?.delete(woken)
    if (all?.size === 0) this.waiting.delete(name)
  }

  /** Wakes the one who has waited longest, or all; tells how many were waiting. */
  signal(name: string, all: boolean): number {
    const waiting = this.waiting.get(name)
    if (waiting === undefined) return 0
    const count = waiting.size
    for (const woken of waiting) {
      Deferred.unsafeDone(woken, Effect.void)
      this.leave(name, woken)
      if (!all) break
    }
    return count
  }
}
