/**
 * What lies below Effect: looks into a running fiber, which change with its next major version, and the event loop.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** @internal */
export const clockOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Clock.Clock =>
  Context.get(fiber.currentDefaultServices, Clock.Clock)

/**
 * Lets the event loop turn once: timers and input are served. `Effect.yieldNow` only lets other fibers run.
 *
 * @internal
 */
export const nextTurn: Effect.Effect<void> = Effect.async<void>((resume) => {
  const turn = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(turn))
})

/**
 * Milliseconds on a clock that only goes forward. Locks are held in real time, so waiting for one is measured in it,
 * whatever a test does with Effect's `Clock`.
 *
 * @internal
 */
export const realMillis = (): number => performance.now()

/**
 * Waits in real time until `subscribe` calls back, or for so many milliseconds; tells whether it was called.
 *
 * @internal
 */
export const waitFor = (millis: number, subscribe?: (done: () => void) => void): Effect.Effect<boolean> =>
  Effect.async<boolean>((resume) => {
    // @effect-diagnostics-next-line globalTimers:off
    const timer = setTimeout(() => resume(Effect.succeed(false)), Math.min(millis, maxTimer))
    subscribe?.(() => {
      clearTimeout(timer)
      resume(Effect.succeed(true))
    })
    return Effect.sync(() => clearTimeout(timer))
  })

/** Node fires timers beyond this at once. */
const maxTimer = 2 ** 31 - 1
