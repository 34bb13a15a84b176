/** What the suites of Memoize share. */
import { it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema, type Scope, TestClock } from "effect"
import { Memoize, Storage } from "effect-kv"
import type { Engine } from "./engines.js"

/** When each test begins, in milliseconds since the epoch. */
export const start = 1_000_000_000

/** A test with a Storage and a scope of its own, which closes before the Storage does. */
export const testOn =
  (engine: Engine) => <A, E>(title: string, body: Effect.Effect<A, E, Storage.Storage | Scope.Scope>) =>
    it.effect(
      title,
      () => Effect.zipRight(TestClock.setTime(start), Effect.provide(Effect.scoped(body), engine.layer))
    )

/** The options of a function from a text to a number. */
export type Counting = Memoize.Options<
  readonly [string],
  readonly [string],
  never,
  number,
  number,
  never,
  never,
  never,
  never,
  never,
  undefined,
  "recompute",
  "call"
>

/** A memoised function that answers how many times it has been called, or what `answer` makes of that. */
export const counting = <E = never, R = never>(
  options: Partial<Counting> = {},
  answer: (call: number, text: string) => Effect.Effect<number, E, R> = Effect.succeed
) => {
  const called: Array<string> = []
  return Effect.map(
    Memoize.make({
      args: Schema.Tuple(Schema.String),
      name: "counting",
      success: Schema.Number,
      timeToLive: "1 minute",
      ...options
    }, (text) => Effect.suspend(() => answer(called.push(text), text))),
    (memo) => ({
      /** What it was called with. */
      called,
      calls: () => called.length,
      memo
    })
  )
}

/** A function that is under way until it is told what becomes of it. */
export interface Origin<A, E = never> {
  readonly effect: Effect.Effect<A, E>
  /** Until it is called once more. */
  readonly began: Effect.Effect<void>
  readonly end: (outcome: Effect.Effect<A, E>) => Effect.Effect<void>
}

export const origin = <A, E = never>(): Origin<A, E> => {
  const waiting: Array<Deferred.Deferred<A, E>> = []
  const next = (): Effect.Effect<Deferred.Deferred<A, E>> =>
    Effect.suspend(() => {
      const first = waiting.shift()
      return first === undefined
        ? Effect.zipRight(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), next())
        : Effect.succeed(first)
    })
  return {
    began: Effect.flatMap(next(), (deferred) => Effect.sync(() => void waiting.unshift(deferred))),
    effect: Effect.flatMap(Deferred.make<A, E>(), (deferred) => {
      waiting.push(deferred)
      return Deferred.await(deferred)
    }),
    end: (outcome) => Effect.flatMap(next(), (deferred) => Effect.asVoid(Deferred.complete(deferred, outcome)))
  }
}

/** The keyspace where answers are stored. */
export const keyspaceOf = (name: string) =>
  Effect.flatMap(Storage.Storage, (storage) => storage.keyspace(`memo/${name}`))

/** How many answers there are. */
export const stored = (name = "counting") =>
  Effect.flatMap(keyspaceOf(name), (keyspace) => Effect.map(keyspace.stat(), ({ entries }) => entries))

/** Forks, and waits until all have come to where they wait. */
export const underWay = <A, E, R>(engine: Engine, self: Effect.Effect<A, E, R>) =>
  Effect.tap(Effect.fork(self), engine.turns)

export const joinAll = <A, E>(fibers: ReadonlyArray<Fiber.Fiber<A, E>>) => Effect.forEach(fibers, Fiber.join)

/** A stored answer of a function whose later calls are under way until they are told otherwise. */
export const answered = (options: Partial<Counting>) =>
  Effect.gen(function*() {
    const later = origin<number, string>()
    const { calls, memo } = yield* counting(
      options,
      (call): Effect.Effect<number, string> => call === 1 ? Effect.succeed(1) : later.effect
    )
    yield* memo("a")
    return { calls, later, memo }
  })
