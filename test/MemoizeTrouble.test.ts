/** Memoised functions on a Storage that fails. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Layer, Logger, Metric, Option, Request, RequestResolver, Schema, type Scope, TestClock } from "effect"
import { Codec, Memoize, Storage, StorageError } from "effect-kv"
import { failingWith, seenThrough } from "./failing.js"
import { counting, stored } from "./memoized.js"

const trouble = (method: string) =>
  new StorageError.StorageError({ detail: "on purpose", keyspace: "memo", method, reason: "Unavailable" })

/** What fails, and whether it does now. */
const switched = (methods: ReadonlyArray<keyof Storage.Keyspace>) => {
  const state = { fails: true }
  const layer = seenThrough((keyspace) => {
    const guarded = <Args extends ReadonlyArray<unknown>, A, E>(
      method: keyof Storage.Keyspace,
      f: (...args: Args) => Effect.Effect<A, E | StorageError.StorageError>
    ) =>
    (...args: Args): Effect.Effect<A, E | StorageError.StorageError> =>
      Effect.suspend(() => state.fails && methods.includes(method) ? Effect.fail(trouble(method)) : f(...args))
    return {
      ...keyspace,
      clear: guarded("clear", keyspace.clear),
      get: guarded("get", keyspace.get),
      getMany: guarded("getMany", keyspace.getMany),
      head: guarded("head", keyspace.head),
      modify: (key, f) =>
        Effect.suspend(() =>
          state.fails && methods.includes("modify") ? Effect.fail(trouble("modify")) : keyspace.modify(key, f)
        ),
      remove: guarded("remove", keyspace.remove),
      set: guarded("set", keyspace.set),
      setMany: guarded("setMany", keyspace.setMany)
    }
  })
  return { layer, state }
}
const reading = ["get", "getMany", "head"] as const
const writing = ["modify", "set", "setMany", "remove", "clear"] as const

/** What is logged meanwhile. */
const logged: Array<unknown> = []
const quietly = Logger.replace(
  Logger.defaultLogger,
  Logger.make(({ logLevel, message }) => void logged.push([logLevel.label, message]))
)

const test = <A, E>(
  title: string,
  layer: Layer.Layer<Storage.Storage, StorageError.StorageError>,
  body: Effect.Effect<A, E, Storage.Storage | Scope.Scope>
) =>
  it.effect(title, () => {
    logged.length = 0
    return Effect.provide(Effect.scoped(body), Layer.merge(layer, quietly))
  })

let names = 0
const errorsOf = (memo: string) =>
  Effect.map(Metric.value(Metric.tagged(Memoize.metrics.errors, "memo", memo)), ({ count }) => count)

describe("Memoize on a Storage that fails", () => {
  for (const reason of ["Busy", "Full", "Unavailable", "Corrupt"] as const) {
    test(
      `lets the call through, and counts it: ${reason}`,
      failingWith(reason),
      Effect.gen(function*() {
        const name = `failing ${++names}`
        const { memo } = yield* counting({ name })
        assert.strictEqual(yield* memo("a"), 1)
        assert.strictEqual(yield* memo("a"), 2)
        assert.isAtLeast(yield* errorsOf(name), 2)
        // What is busy is waited for, in real time.
        if (reason !== "Busy") assert.strictEqual(yield* memo.refresh("a"), 3)
      })
    )
  }

  test(
    "lets through with all there is to a function",
    failingWith("Unavailable"),
    Effect.gen(function*() {
      const { memo } = yield* counting({
        earlyRefresh: true,
        eviction: "least-recently-used",
        inMemory: { capacity: 10 },
        lease: "1 second",
        maxBytes: 1000,
        maxEntries: 10,
        name: "everything",
        softTimeout: 50,
        staleIfError: "1 hour",
        staleWhileRevalidate: "1 hour",
        tags: () => ["tag"]
      })
      assert.strictEqual(yield* memo("a"), 1)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* memo("b"), 2)
    })
  )

  test(
    "is said once in the log, as long as it lasts",
    failingWith("Unavailable"),
    Effect.gen(function*() {
      const { memo } = yield* counting({ name: "logging" })
      for (let i = 0; i < 5; i++) yield* memo("a")
      assert.strictEqual(logged.length, 1)
      assert.include(JSON.stringify(logged[0]), "logging")
      assert.include(JSON.stringify(logged[0]), "WARN")
    })
  )

  test(
    "failures and defects of the function are its own",
    failingWith("Unavailable"),
    Effect.gen(function*() {
      const { memo } = yield* counting({ name: "own failures" }, () => Effect.fail("own"))
      assert.strictEqual(yield* Effect.flip(memo("a")), "own")
    })
  )

  test(
    "looking and forgetting fail, for there is no other answer",
    failingWith("Unavailable"),
    Effect.gen(function*() {
      const { memo } = yield* counting({ name: "controls" })
      for (
        const control of [
          memo.peek("a"),
          memo.invalidate("a"),
          memo.softInvalidate("a"),
          memo.invalidateAll,
          Memoize.invalidateTag("tag")
        ]
      ) {
        assert.instanceOf(
          yield* Effect.flip(Effect.asVoid<unknown, unknown, Storage.Storage>(control)),
          StorageError.StorageError
        )
      }
      assert.match(yield* memo.keyOf("a"), /^[0-9a-f]{64}$/)
    })
  )

  test(
    "onStorageFailure \"fail\": the call fails with the error, and the function is not called",
    failingWith("Unavailable"),
    Effect.gen(function*() {
      let calls = 0
      const memo = yield* Memoize.make({
        args: Schema.Tuple(Schema.String),
        name: "strict",
        onStorageFailure: "fail",
        success: Schema.Number,
        timeToLive: 1000
      }, () => Effect.sync(() => ++calls))
      const error = yield* Effect.flip(memo("a"))
      assert(error instanceof StorageError.StorageError)
      assert.strictEqual(error.reason, "Unavailable")
      assert.strictEqual(calls, 0)
      assert.instanceOf(yield* Effect.flip(memo.refresh("a")), StorageError.StorageError)
      assert.strictEqual(yield* Memoize.bypass(memo("a")), calls)
      assert.strictEqual(yield* errorsOf("strict"), 0)
      assert.strictEqual(logged.length, 0)
    })
  )

  test(
    "onStorageFailure \"fail\": what cannot be encoded fails with CodecError",
    Layer.fresh(Storage.layerMemory),
    Effect.gen(function*() {
      const memo = yield* Memoize.make({
        args: Schema.Tuple(Schema.String),
        name: "strict codec",
        onStorageFailure: "fail",
        success: Schema.Number,
        timeToLive: 1000
      }, (text) => Effect.succeed(text === "answer" ? text as never : 1))
      assert.instanceOf(yield* Effect.flip(memo("answer")), Codec.CodecError)
      assert.instanceOf(yield* Effect.flip(memo(1 as never)), Codec.CodecError)
      assert.strictEqual(yield* memo("a"), 1)
    })
  )

  const onlyReading = switched(reading)
  test(
    "only at reading: calls go through until it works again",
    onlyReading.layer,
    Effect.gen(function*() {
      onlyReading.state.fails = true
      const { memo } = yield* counting({ name: "reading" })
      assert.strictEqual(yield* memo("a"), 1)
      assert.strictEqual(yield* memo("a"), 2)
      onlyReading.state.fails = false
      const answer = yield* memo("a")
      assert.isAtLeast(answer, 1)
      assert.strictEqual(yield* memo("a"), answer)
      assert.isAtMost(logged.length, 1)
    })
  )

  const onlyWriting = switched(writing)
  test(
    "only at writing: answers are not stored until it works again",
    onlyWriting.layer,
    Effect.gen(function*() {
      onlyWriting.state.fails = true
      const { memo } = yield* counting({ name: "writing", staleIfError: "1 hour" })
      assert.strictEqual(yield* memo("a"), 1)
      assert.strictEqual(yield* memo("a"), 2)
      assert.strictEqual(yield* stored("writing"), 0)
      assert.isAtLeast(yield* errorsOf("writing"), 2)
      onlyWriting.state.fails = false
      assert.strictEqual(yield* memo("a"), 3)
      assert.strictEqual(yield* memo("a"), 3)
      // A new trouble is said anew.
      onlyWriting.state.fails = true
      yield* memo("b")
      assert.strictEqual(logged.length, 2)
    })
  )

  const noStanding = switched(writing)
  test(
    "only at writing: a stale answer stands in for a failure, though the back-off cannot be written",
    noStanding.layer,
    Effect.gen(function*() {
      noStanding.state.fails = false
      const { memo } = yield* counting(
        { name: "standing in", staleIfError: "1 hour", timeToLive: 1000 },
        (call) => call === 1 ? Effect.succeed(1) : Effect.fail("down")
      )
      yield* memo("a")
      yield* TestClock.adjust(1000)
      noStanding.state.fails = true
      assert.strictEqual(yield* memo("a"), 1)
    })
  )

  const strictWriting = switched(writing)
  test(
    "only at writing, onStorageFailure \"fail\": the call fails",
    strictWriting.layer,
    Effect.gen(function*() {
      strictWriting.state.fails = true
      const memo = yield* Memoize.make({
        args: Schema.Tuple(),
        name: "strict writing",
        onStorageFailure: "fail",
        success: Schema.Number,
        timeToLive: 1000
      }, () => Effect.succeed(1))
      assert.instanceOf(yield* Effect.flip(memo()), StorageError.StorageError)
      strictWriting.state.fails = false
      assert.strictEqual(yield* memo(), 1)
    })
  )

  const inFront = switched([...reading, ...writing])
  test(
    "answers in memory are answered for their age",
    inFront.layer,
    Effect.gen(function*() {
      inFront.state.fails = false
      const { memo } = yield* counting({ inMemory: { capacity: 3, maxAge: 1000 }, name: "in front" })
      yield* memo("a")
      inFront.state.fails = true
      yield* TestClock.adjust(999)
      assert.strictEqual(yield* memo("a"), 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* memo("a"), 2)
    })
  )

  class Get extends Schema.TaggedRequest<Get>()("Get", {
    failure: Schema.Never,
    payload: { id: Schema.Number },
    success: Schema.Number
  }) {}

  test(
    "a resolver: requests go through, in one batch",
    failingWith("Unavailable"),
    Effect.gen(function*() {
      const batches: Array<number> = []
      const resolver = yield* Memoize.request(
        { name: "failing resolver", request: Get, timeToLive: 1000 },
        RequestResolver.makeBatched((requests: ReadonlyArray<Get>) => {
          batches.push(requests.length)
          return Effect.forEach(requests, (request) => Request.succeed(request, request.id), { discard: true })
        })
      )
      const all = Effect.forEach([1, 2, 3], (id) => Effect.request(new Get({ id }), resolver), { batching: true })
      deepStrictEqual(yield* all, [1, 2, 3])
      deepStrictEqual(yield* all, [1, 2, 3])
      deepStrictEqual(batches, [3, 3])
      assert.isAtLeast(yield* errorsOf("failing resolver"), 2)
      assert.isTrue(Option.isSome(yield* Effect.option(resolver.keyOf(new Get({ id: 1 })))))
    })
  )
})
