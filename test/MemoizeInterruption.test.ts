/** Callers of memoised functions that are interrupted, at every point where a fiber can be. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  Clock,
  Effect,
  Exit,
  Fiber,
  FiberId,
  Option,
  Request,
  RequestResolver,
  Scheduler,
  Schema,
  type Scope,
  TestClock
} from "effect"
import { Memoize, Storage } from "effect-kv"
import { memory } from "./engines.js"
import { keysOf } from "./support.js"

/** Until every fiber has come to where it waits; in memory that is soon. */
const turns = Effect.promise(async () => {
  for (let i = 0; i < 6; i++) await new Promise((resolve) => setImmediate(resolve))
})
const { defaultScheduler } = Scheduler
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)

/** Whether operations are counted yet. */
let isCounting = true

/** Counts the operations of fibers, calls back before one of them, and has fibers take turns often. */
class Stepping implements Scheduler.Scheduler {
  private steps = 0

  constructor(private readonly at: number, private readonly reached: () => void) {}

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    if (isCounting && this.steps++ === this.at) this.reached()
    // To yield takes some operations, too.
    return fiber.currentOpCount > 40 ? 0 : false
  }

  scheduleTask(task: () => void, priority: number): void {
    defaultScheduler.scheduleTask(task, priority)
  }
}

/** Interrupts the first of some effects, that run at once, at a step; their exits, and whether there was such a step. */
const interruptedAt = <A, E>(at: number, all: ReadonlyArray<Effect.Effect<A, E>>) =>
  Effect.gen(function*() {
    let isReached = false
    const fibers: Array<Fiber.RuntimeFiber<A, E>> = []
    const scheduler = new Stepping(at, () => {
      isReached = true
      fibers[0]?.unsafeInterruptAsFork(FiberId.none)
    })
    for (const one of all) fibers.push(yield* Effect.withScheduler(Effect.forkDaemon(one), scheduler))
    return { exits: yield* Effect.forEach(fibers, Fiber.await), isReached }
  })

/** The exit of an effect that has to end without any time going by. */
const soon = <A, E>(what: string, self: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkDaemon(self)
    for (let i = 0; i < 20; i++) {
      yield* turns
      const exit = yield* Fiber.poll(fiber)
      if (Option.isSome(exit)) return exit.value
    }
    return assert.fail(`${what}: stuck`)
  })

/** What is known of a function that takes some steps. */
const watched = () => {
  const state = { calls: 0, interrupted: 0, mostAtOnce: 0, running: new Map<string, number>() }
  const f = (key: string) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const atOnce = (state.running.get(key) ?? 0) + 1
        state.running.set(key, atOnce)
        state.mostAtOnce = Math.max(state.mostAtOnce, atOnce)
        state.calls++
        return Effect.onExit(restore(Effect.as(Effect.repeatN(Effect.yieldNow(), 5), key.length)), (exit) =>
          Effect.sync(() => {
            if (Exit.isInterrupted(exit)) state.interrupted++
            const left = (state.running.get(key) ?? 0) - 1
            if (left === 0) {
              state.running.delete(key)
            } else state.running.set(key, left)
          }))
      })
    )
  return { f, state }
}

const common = {
  args: Schema.mutable(Schema.Tuple(Schema.String)),
  name: "f",
  success: Schema.Number,
  timeToLive: "1 hour"
} as const

interface Subject {
  readonly call: (key: string) => Effect.Effect<number, unknown>
  readonly state: ReturnType<typeof watched>["state"]
  readonly memo: Pick<Memoize.Memo<readonly [string], number, unknown>, "softInvalidate" | "refresh">
}

const makeSubject = (options: Partial<Parameters<typeof subjectOf>[0]> = {}) => subjectOf({ ...common, ...options })

const subjectOf = (
  options: typeof common & {
    readonly inMemory?: { readonly capacity: number }
    readonly lease?: "1 minute"
    readonly maxEntries?: number
    readonly softTimeout?: "1 minute"
    readonly staleIfError?: "1 day"
    readonly staleWhileRevalidate?: "1 day"
    readonly tags?: () => ReadonlyArray<string>
  }
) =>
  Effect.gen(function*() {
    const { f, state } = watched()
    const memo = yield* Memoize.make(options, f)
    return { call: memo, memo, state } satisfies Subject
  })

class Length extends Schema.TaggedRequest<Length>()("Length", {
  failure: Schema.Never,
  payload: { of: Schema.String },
  success: Schema.Number
}) {}

/**
 * Three requests at once; the first one is that of the key. Counted from when the resolver has them: Effect itself is
 * stuck when `forEach` is interrupted before that, whatever the resolver is.
 */
const makeBatch = Effect.gen(function*() {
  const { f, state } = watched()
  const resolver = yield* Memoize.request(
    { enabled: Effect.sync(() => isCounting = true), request: Length, timeToLive: "1 hour" },
    RequestResolver.makeBatched((requests: ReadonlyArray<Length>) =>
      Effect.forEach(requests, (request) => Effect.flatMap(f(request.of), (n) => Request.succeed(request, n)), {
        discard: true
      })
    )
  )
  const call = (key: string) =>
    Effect.forEach(["", "+", "++"], (suffix) => Effect.request(new Length({ of: key + suffix }), resolver), {
      batching: true
    }).pipe(Effect.map(([first = NaN]) => first))
  const memo = {
    refresh: call,
    softInvalidate: (key: string) => resolver.softInvalidate(new Length({ of: key }))
  }
  return { call, memo, state } satisfies Subject
})

const minute = 60_000
const hour = 60 * minute

/** A clock that is put forward by hand, where nothing sleeps: a `TestClock` waits each time for those who might. */
let now = 0
const clock = Object.assign(Clock.make(), {
  currentTimeMillis: Effect.sync(() => now),
  unsafeCurrentTimeMillis: () => now
})

interface Case {
  readonly name: string
  readonly subject: Effect.Effect<Subject, unknown, Scope.Scope | Storage.Storage>
  /** How often one call computes. */
  readonly each?: number
  /** What comes before. */
  readonly prepare?: (subject: Subject, key: string) => Effect.Effect<unknown, unknown>
  /** What is done, at once; the first one is interrupted. */
  readonly run: (subject: Subject, key: string) => ReadonlyArray<Effect.Effect<number, unknown>>
}

const once = ({ call }: Subject, key: string) => [call(key)]
const stored = ({ call }: Subject, key: string) => call(key)
const stale = ({ call, memo }: Subject, key: string) => Effect.zipRight(call(key), memo.softInvalidate(key))

const cases: ReadonlyArray<Case> = [
  { name: "cold", run: once, subject: makeSubject() },
  { name: "cold, of three", run: ({ call }, key) => [call(key), call(key), call(key)], subject: makeSubject() },
  { name: "hit", prepare: stored, run: once, subject: makeSubject() },
  { name: "cold, through memory", run: once, subject: makeSubject({ inMemory: { capacity: 10 } }) },
  { name: "cold, with tags", run: once, subject: makeSubject({ tags: () => ["a", "b"] }) },
  { name: "cold, with a lease", run: once, subject: makeSubject({ lease: "1 minute" }) },
  {
    name: "cold, with a lease, of three",
    run: ({ call }, key) => [call(key), call(key), call(key)],
    subject: makeSubject({ lease: "1 minute" })
  },
  { name: "cold, within bounds", run: once, subject: makeSubject({ maxEntries: 5 }) },
  {
    name: "stale, revalidating",
    prepare: stale,
    run: once,
    subject: makeSubject({ staleWhileRevalidate: "1 day" })
  },
  {
    name: "stale, revalidating, of three",
    prepare: stale,
    run: ({ call }, key) => [call(key), call(key), call(key)],
    subject: makeSubject({ staleWhileRevalidate: "1 day" })
  },
  {
    name: "stale, with softTimeout",
    prepare: stale,
    run: once,
    subject: makeSubject({ softTimeout: "1 minute", staleIfError: "1 day" })
  },
  { name: "refresh", prepare: stored, run: ({ memo }, key) => [memo.refresh(key)], subject: makeSubject() },
  {
    name: "refresh, while another one calls",
    run: ({ call, memo }, key) => [memo.refresh(key), call(key)],
    subject: makeSubject()
  },
  { each: 3, name: "batch", run: once, subject: makeBatch },
  { each: 3, name: "batch, of two", run: ({ call }, key) => [call(key), call(key)], subject: makeBatch }
]

describe("a caller that is interrupted at any step leaves everybody else unharmed", () => {
  for (const { each = 1, name, prepare, run, subject } of cases) {
    it.scoped(name, () =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const leases = yield* storage.keyspace("memo:leases")
        const tested = yield* subject
        const { call, memo, state } = tested
        let steps = 0
        for (;; steps += each) {
          if (steps > 3000) return assert.fail("steps without end")
          const key = `key ${steps}`
          const at = `${name}, step ${steps}`
          yield* prepare?.(tested, key) ?? Effect.void
          const before = state.calls
          isCounting = !name.startsWith("batch")
          const running = yield* Effect.forkDaemon(interruptedAt(steps, run(tested, key)))
          const { exits, isReached } = yield* yield* soon(at, Fiber.join(running))
          // Who was not interrupted has an answer.
          for (const exit of exits.slice(1)) deepStrictEqual([at, exit], [at, Exit.succeed(key.length)])
          yield* turns
          // Nobody waits, so nothing is being computed.
          deepStrictEqual([at, state.running.size], [at, 0])
          deepStrictEqual([at, yield* keysOf(leases)], [at, []])
          // A later call is answered, and then it is stored; only one that nobody waited for is computed again.
          deepStrictEqual([at, yield* soon(at, call(key))], [at, Exit.succeed(key.length)])
          yield* turns
          const calls = state.calls
          assert.isAtMost(calls - before, 2 * each, at)
          deepStrictEqual([at, yield* soon(at, call(key))], [at, Exit.succeed(key.length)])
          yield* turns
          deepStrictEqual([at, state.calls], [at, calls])
          deepStrictEqual([at, state.running.size], [at, 0])
          // And what is stale is computed anew.
          yield* memo.softInvalidate(key)
          deepStrictEqual([at, yield* soon(at, call(key))], [at, Exit.succeed(key.length)])
          yield* turns
          deepStrictEqual([at, state.calls], [at, calls + 1])
          if (!isReached) break
        }
        assert.isAbove(steps, 10)
        assert.isAtMost(state.mostAtOnce, name.startsWith("refresh, while") ? 2 : 1)
      }).pipe(Effect.provide(memory.layer)), 60_000)
  }

  it.scoped("keeps a bound, whatever step of making room it was", () =>
    Effect.gen(function*() {
      const storage = yield* Storage.Storage
      const { call, state } = yield* makeSubject({ maxEntries: 3 })
      for (let step = 0;; step++) {
        for (const i of numbers(3)) yield* call(`${step} ${i}`)
        now += hour
        yield* (yield* storage.keyspace("memo/f")).clear()
        yield* (yield* storage.keyspace("memo:order memo/f")).clear()
        now += hour
        for (const i of numbers(3)) yield* call(`${step} again ${i}`)
        const { isReached } = yield* interruptedAt(step, [call(`${step} more`)])
        // Whatever lost its place is found when it is counted next: then the last ones are those that are kept.
        now += minute
        for (const i of numbers(4)) {
          yield* call(`${step} then ${i}`)
          now += minute
        }
        const { calls } = state
        for (const i of [1, 2, 3]) yield* call(`${step} then ${i}`)
        deepStrictEqual([step, state.calls], [step, calls])
        if (!isReached) break
      }
    }).pipe(Effect.provide(memory.layer), Effect.withClock(clock)), 60_000)
})

describe("the function", () => {
  const started = Effect.gen(function*() {
    const state = { calls: 0, interrupted: 0 }
    const memo = yield* Memoize.make({ ...common, lease: "1 minute" }, (key) =>
      Effect.suspend(() => {
        state.calls++
        return Effect.onInterrupt(Effect.as(Effect.sleep("1 second"), key.length), () =>
          Effect.sync(() => state.interrupted++))
      }))
    return { memo, state }
  })

  it.scoped(
    "goes on while anybody waits, of 10,000 callers of which half are interrupted",
    () =>
      Effect.gen(function*() {
        const { memo, state } = yield* started
        const callers = yield* Effect.forEach(numbers(10_000), () => Effect.fork(memo("a")))
        yield* turns
        yield* Fiber.interruptAll(callers.filter((_, i) => i % 2 === 0))
        deepStrictEqual(state, { calls: 1, interrupted: 0 })
        yield* TestClock.adjust("1 second")
        const exits = yield* Effect.forEach(callers, Fiber.await)
        deepStrictEqual(exits.filter(Exit.isSuccess).length, 5000)
        deepStrictEqual(state, { calls: 1, interrupted: 0 })
      }).pipe(Effect.provide(memory.layer)),
    60_000
  )

  it.scoped("is interrupted when nobody waits any more, and its lease is released", () =>
    Effect.gen(function*() {
      const { memo, state } = yield* started
      const callers = yield* Effect.forEach(numbers(100), () => Effect.fork(memo("a")))
      yield* turns
      const leases = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("memo:leases"))
      deepStrictEqual((yield* keysOf(leases)).length, 1)
      for (const caller of callers) {
        deepStrictEqual(state.interrupted, 0)
        yield* Fiber.interrupt(caller)
      }
      yield* turns
      deepStrictEqual(state, { calls: 1, interrupted: 1 })
      deepStrictEqual(yield* keysOf(leases), [])
      const later = yield* Effect.fork(memo("a"))
      yield* turns
      yield* TestClock.adjust("1 second")
      deepStrictEqual(yield* Fiber.join(later), 1)
    }).pipe(Effect.provide(memory.layer)))

  it.scoped("is interrupted, and its lease is released, when the scope closes in which it refreshes", () =>
    Effect.gen(function*() {
      const state = { calls: 0, interrupted: 0 }
      const leases = yield* Effect.flatMap(Storage.Storage, (storage) => storage.keyspace("memo:leases"))
      yield* Effect.scoped(Effect.gen(function*() {
        const memo = yield* Memoize.make(
          { ...common, lease: "1 minute", staleWhileRevalidate: "1 day" },
          (key) =>
            Effect.suspend(() =>
              ++state.calls === 1
                ? Effect.succeed(key.length)
                : Effect.onInterrupt(Effect.never, () => Effect.sync(() => state.interrupted++))
            )
        )
        yield* memo("a")
        yield* memo.softInvalidate("a")
        deepStrictEqual(yield* memo("a"), 1)
        yield* turns
        deepStrictEqual(state, { calls: 2, interrupted: 0 })
      }))
      deepStrictEqual(state, { calls: 2, interrupted: 1 })
      deepStrictEqual(yield* keysOf(leases), [])
    }).pipe(Effect.provide(memory.layer)))
})
