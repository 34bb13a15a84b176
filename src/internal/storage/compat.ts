/**
 * What lies below Effect: looks into a running fiber, which change with its next major version, and the event loop.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { SyncScheduler } from "effect/Scheduler"
import * as Tracer from "effect/Tracer"

// Taken once: what a test puts in their place meanwhile would never call back.
// @effect-diagnostics-next-line globalTimers:off
const { clearImmediate, clearTimeout, setImmediate, setTimeout } = globalThis

/** @internal */
export const clockOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Clock.Clock =>
  Context.get(fiber.currentDefaultServices, Clock.Clock)

/** @internal */
export const withNow = <A, E, R>(use: (now: number) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => use(clockOf(fiber).unsafeCurrentTimeMillis()))

const ownTracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** How many operations a fiber does between two turns that it has to take, at the least, after `turnFirst`. */
const opsBetweenTurns = 1024

/**
 * Has a fiber that will have to let others have their turn soon do so now, and not in the midst of what comes next: there
 * it could be interrupted.
 *
 * @internal
 */
export const turnFirst: Effect.Effect<void> = Effect.withFiberRuntime((fiber) =>
  fiber.currentOpCount > opsBetweenTurns ? Effect.yieldNow() : Effect.void
)

/**
 * Whether a tracer is installed: Effect's own makes spans that nobody sees, at a price.
 *
 * @internal
 */
export const isTraced = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.currentTracer !== ownTracer && fiber.getFiberRef(FiberRef.currentTracerEnabled)

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
 * Calls back when the event loop turns.
 *
 * @internal
 */
export const onNextTurn = (f: () => void): void => void setImmediate(f)

/**
 * Whether a fiber may wait for anything: not under `Effect.runSync`. A scheduler of that, which is `deferred` once it is
 * over, stays with all fibers of a `ManagedRuntime`, whose layers it has built.
 *
 * @internal
 */
export const canWait = ({ currentScheduler }: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  !(currentScheduler instanceof SyncScheduler) || currentScheduler.deferred

/** How long operations may go on before the event loop gets its turn, in milliseconds. */
const longestHold = 5

/** Since when the event loop has not turned, as far as operations hold it. */
let held: number | undefined
let turn: NodeJS.Immediate | undefined
const onTurn: Array<() => void> = []

/**
 * Whether operations, which take their time in one piece each, have kept the event loop waiting. Effect lets other
 * fibers run, but timers and input only after seconds of this.
 *
 * @internal
 */
export const isTurnDue = (): boolean => {
  // The other clocks cost ten times as much, at every operation. This one may be set, so a step back is a turn due.
  // @effect-diagnostics-next-line globalDate:off
  const now = Date.now()
  if (held !== undefined) return now - held > longestHold || now < held
  held = now
  turn = setImmediate(() => {
    held = undefined
    for (const resume of onTurn.splice(0)) resume()
  }).unref()
  return false
}

/**
 * Waits for the turn that is due. All who do go on together, so that writes of one turn stay writes of one turn.
 *
 * @internal
 */
export const dueTurn: Effect.Effect<void> = Effect.async<void>((resume) => {
  // The fiber may have been made to yield in between, and the turn be over.
  if (held === undefined) return resume(Effect.void)
  turn?.ref()
  onTurn.push(() => resume(Effect.void))
})

const ownClock = Context.get(DefaultServices.liveServices, Clock.Clock)

/** @internal */
export const isSystemClock: Effect.Effect<boolean> = Effect.clockWith((clock) => Effect.succeed(clock === ownClock))

/** A sleep that does not keep the process alive. */
const idleSleep = (duration: Duration.Duration): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const timer = setTimeout(() => resume(Effect.void), Math.min(Duration.toMillis(duration), maxTimer)).unref()
    return Effect.sync(() => clearTimeout(timer))
  })

/**
 * `nextTurn` for work that must not keep the process alive. A timer, as an immediate that is not counted waits until
 * something else wakes an idle loop.
 *
 * @internal
 */
export const idleTurn: Effect.Effect<void> = idleSleep(Duration.millis(1))

/** The clock of the system, on which sleepers do not keep the process alive. */
const idleClock: Clock.Clock = Object.assign(Clock.make(), { sleep: idleSleep })

/**
 * Has the sleeps of a background fiber not keep the process alive. A clock that somebody installed stays.
 *
 * @internal
 */
export const sleepingIdly = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.clockWith((clock) => clock === ownClock ? Effect.withClock(self, idleClock) : self)

/**
 * Milliseconds on a clock that only goes forward. Locks are held in real time, so waiting for one is measured in it,
 * whatever a test does with Effect's `Clock`.
 *
 * @internal
 */
export const realMillis: () => number = performance.now.bind(performance)

/**
 * For how many milliseconds the event loop has been at work, rather than waiting for something to do.
 *
 * @internal
 */
export const busyMillis = (): number => utilization().active

const utilization = performance.eventLoopUtilization.bind(performance)

/**
 * Waits in real time until `subscribe` calls back, or for so many milliseconds; tells whether it was called.
 *
 * @internal
 */
export const waitFor = (millis: number, subscribe?: (done: () => void) => void): Effect.Effect<boolean> =>
  Effect.async<boolean>((resume) => {
    const timer = setTimeout(() => resume(Effect.succeed(false)), Math.min(millis, maxTimer))
    subscribe?.(() => {
      clearTimeout(timer)
      resume(Effect.succeed(true))
    })
    return Effect.sync(() => clearTimeout(timer))
  })

/** Node fires timers beyond this at once. */
const maxTimer = 2 ** 31 - 1
