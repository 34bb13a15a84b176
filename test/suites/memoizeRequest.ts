/** A memoised RequestResolver, on any engine. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import type { Context } from "effect"
import {
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Option,
  Request,
  RequestResolver,
  Schema,
  Scope,
  TestClock
} from "effect"
import { Codec, Memoize, Storage } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { stored, testOn } from "../memoized.js"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Number }) {}

class GetName extends Schema.TaggedRequest<GetName>()("GetName", {
  failure: Schema.Union(NotFound, Schema.String),
  payload: { id: Schema.Number },
  success: Schema.Option(Schema.String)
}) {}

type Answer = Effect.Effect<Option.Option<string>, NotFound | string>

export const suite = (engine: Engine) =>
  describeOn(engine, "Memoize", () => {
    const test = testOn(engine)

    /** A resolver that remembers its batches, memoised. */
    const making = (
      options: Partial<
        Memoize.RequestOptions<
          GetName,
          typeof GetName.Encoded,
          never,
          typeof GetName.success.Encoded,
          never,
          NotFound,
          typeof NotFound.Encoded,
          never,
          never
        >
      > = {},
      answer: (id: number, batch: number) => Answer | undefined = (id) => Effect.succeedSome(`name ${id}`)
    ) => {
      const batches: Array<ReadonlyArray<number>> = []
      return Effect.map(
        Memoize.request(
          { request: GetName, timeToLive: 1000, ...options },
          RequestResolver.makeBatched((requests: ReadonlyArray<GetName>) => {
            batches.push(requests.map(({ id }) => id))
            const batch = batches.length
            return Effect.forEach(requests, (request) => {
              const answered = answer(request.id, batch)
              return answered === undefined
                ? Effect.void
                : Effect.flatMap(Effect.exit(answered), (exit) => Request.complete(request, exit))
            }, { concurrency: "unbounded", discard: true })
          })
        ),
        (resolver) => ({
          all: (...ids: ReadonlyArray<number>) =>
            Effect.forEach(ids, (id) => Effect.request(new GetName({ id }), resolver), { batching: true }),
          batches,
          exits: (...ids: ReadonlyArray<number>) =>
            Effect.forEach(ids, (id) => Effect.exit(Effect.request(new GetName({ id }), resolver)), {
              batching: true,
              concurrency: "unbounded"
            }),
          one: (id: number) => Effect.request(new GetName({ id }), resolver),
          resolver
        })
      )
    }
    const named = (...ids: ReadonlyArray<number>) => ids.map((id) => Option.some(`name ${id}`))
    const get = (id: number) => new GetName({ id })

    describe("request", () => {
      test(
        "one lookup for all misses of a batch, and what is stored is not asked for",
        Effect.gen(function*() {
          const { all, batches } = yield* making()
          deepStrictEqual(yield* all(1, 2, 3), named(1, 2, 3))
          deepStrictEqual(yield* all(3, 4, 1, 5), named(3, 4, 1, 5))
          deepStrictEqual(yield* all(5, 4, 3, 2, 1), named(5, 4, 3, 2, 1))
          deepStrictEqual(batches, [[1, 2, 3], [4, 5]])
        })
      )

      test(
        "a single request, and another resolver of the same name",
        Effect.gen(function*() {
          const [first, other] = [yield* making(), yield* making()]
          deepStrictEqual(yield* first.one(1), Option.some("name 1"))
          deepStrictEqual(yield* first.one(1), Option.some("name 1"))
          deepStrictEqual(yield* other.all(1, 2), named(1, 2))
          deepStrictEqual(first.batches, [[1]])
          deepStrictEqual(other.batches, [[2]])
        })
      )

      test(
        "one round trip to the storage for all keys of a batch",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const asked: Array<string> = []
          const seen: Context.Tag.Service<Storage.Storage> = {
            ...storage,
            keyspace: new Proxy(storage.keyspace, {
              apply: (target, self, args) =>
                Effect.map(Reflect.apply(target, self, args) as Effect.Effect<Storage.Keyspace>, (keyspace) => ({
                  ...keyspace,
                  get: (key: string) => (asked.push("get"), keyspace.get(key)),
                  getMany: (keys: Iterable<string>) => (asked.push("getMany"), keyspace.getMany(keys)),
                  head: (key: string) => (asked.push("head"), keyspace.head(key))
                }))
            })
          }
          const { all } = yield* Effect.provideService(making(), Storage.Storage, seen)
          const ids = Array.from({ length: 500 }, (_, i) => i)
          yield* all(...ids)
          asked.length = 0
          yield* all(...ids)
          deepStrictEqual(asked, ["getMany"])
        })
      )

      test(
        "the same more than once in a batch is asked for once",
        Effect.gen(function*() {
          const { all, batches } = yield* making()
          deepStrictEqual(yield* all(1, 1, 2, 1, 2), named(1, 1, 2, 1, 2))
          deepStrictEqual(yield* all(1, 1), named(1, 1))
          deepStrictEqual(batches, [[1, 2]])
        })
      )

      test(
        "thousands of requests in a batch",
        Effect.gen(function*() {
          const { all, batches } = yield* making()
          const ids = Array.from({ length: 2000 }, (_, i) => i)
          yield* all(...ids)
          deepStrictEqual(yield* all(...ids), named(...ids))
          assert.strictEqual(batches.length, 1)
        })
      )

      test(
        "two batches at the same time ask once for what both want",
        Effect.gen(function*() {
          const gate = yield* Deferred.make<void>()
          const { all, batches } = yield* making({}, (id) => Effect.as(Deferred.await(gate), Option.some(`name ${id}`)))
          const [one, two] = [yield* Effect.fork(all(1, 2)), yield* Effect.fork(all(2, 3))]
          yield* engine.turns
          yield* Deferred.succeed(gate, undefined)
          deepStrictEqual(yield* Fiber.join(one), named(1, 2))
          deepStrictEqual(yield* Fiber.join(two), named(2, 3))
          deepStrictEqual(batches.flat().toSorted(), [1, 2, 3])
        })
      )

      test(
        "failures are those of their requests; what the schema covers is stored",
        Effect.gen(function*() {
          const { batches, exits } = yield* making({ failure: NotFound }, (id) =>
            id === 1
              ? Effect.fail(new NotFound({ id }))
              : id === 2
              ? Effect.fail("down")
              : id === 3
              ? Effect.die("boom")
              : Effect.succeedNone)
          const expected = [
            Exit.fail(new NotFound({ id: 1 })),
            Exit.fail("down"),
            Exit.die("boom"),
            Exit.succeed(Option.none())
          ]
          deepStrictEqual(yield* exits(1, 2, 3, 4), expected)
          deepStrictEqual(yield* exits(1, 2, 3, 4), expected)
          deepStrictEqual(batches, [[1, 2, 3, 4], [2, 3]])
        })
      )

      test(
        "without a schema for failures none is stored",
        Effect.gen(function*() {
          const { batches, exits } = yield* making({}, (id) => Effect.fail(new NotFound({ id })))
          yield* exits(1)
          deepStrictEqual(yield* exits(1), [Exit.fail(new NotFound({ id: 1 }))])
          deepStrictEqual(batches, [[1], [1]])
          assert.strictEqual(yield* stored("GetName"), 0)
        })
      )

      test(
        "what the resolver leaves out ends as without this, is not stored, and the others are answered",
        Effect.gen(function*() {
          const { all, batches, exits } = yield* making({}, (id, batch) =>
            id === 2 && batch === 1 ? undefined : Effect.succeedSome(`name ${id}`))
          const [first, left, third] = yield* exits(1, 2, 3)
          deepStrictEqual([first, third], [Exit.succeed(Option.some("name 1")), Exit.succeed(Option.some("name 3"))])
          const bare = yield* Effect.exit(
            Effect.request(
              get(2),
              RequestResolver.makeBatched<GetName, never>(() =>
                Effect.void
              )
            )
          )
          assert(left !== undefined && Exit.isFailure(left) && Exit.isFailure(bare))
          assert.strictEqual(left.cause._tag, bare.cause._tag)
          deepStrictEqual(yield* all(1, 2, 3), named(1, 2, 3))
          deepStrictEqual(batches, [[1, 2, 3], [2]])
        })
      )

      test(
        "a resolver that dies as a whole",
        Effect.gen(function*() {
          const resolver = yield* Memoize.request(
            { request: GetName, timeToLive: 1000 },
            RequestResolver.makeBatched<GetName, never>(() => Effect.die("boom"))
          )
          const exits = yield* Effect.forEach([1, 2], (id) => Effect.exit(Effect.request(get(id), resolver)), {
            batching: true,
            concurrency: "unbounded"
          })
          for (const exit of exits) assert.isTrue(Exit.isFailure(exit))
          assert.strictEqual(yield* stored("GetName"), 0)
        })
      )

      test(
        "staleWhileRevalidate answers now, and refreshes all stale ones of a batch",
        Effect.gen(function*() {
          const { all, batches } = yield* making(
            { staleWhileRevalidate: 500 },
            (id, batch) => Effect.succeedSome(`name ${id} of ${batch}`)
          )
          yield* all(1, 2)
          yield* TestClock.adjust(1000)
          deepStrictEqual(yield* all(1, 2), [Option.some("name 1 of 1"), Option.some("name 2 of 1")])
          yield* engine.turns
          deepStrictEqual(batches, [[1, 2], [1, 2]])
          deepStrictEqual(yield* all(2, 1), [Option.some("name 2 of 2"), Option.some("name 1 of 2")])
        })
      )

      test(
        "staleIfError stands in for the failures of some of a batch",
        Effect.gen(function*() {
          const { all, batches, exits } = yield* making(
            { staleIfError: 50_000 },
            (id, batch) => batch > 1 && id < 3 ? Effect.fail("down") : Effect.succeedSome(`name ${id}`)
          )
          yield* all(1)
          yield* TestClock.adjust(1000)
          deepStrictEqual(yield* exits(1, 2, 3), [
            Exit.succeed(Option.some("name 1")),
            Exit.fail("down"),
            Exit.succeed(Option.some("name 3"))
          ])
          // The back-off.
          deepStrictEqual(yield* all(1), named(1))
          deepStrictEqual(batches, [[1], [1, 2, 3]])
        })
      )

      test(
        "time to live by exit and request, zero means do not store",
        Effect.gen(function*() {
          const { all, batches } = yield* making({ timeToLive: (_, [{ id }]) => id === 1 ? 0 : "1 hour" })
          yield* all(1, 2)
          yield* all(1, 2)
          deepStrictEqual(batches, [[1, 2], [1]])
        })
      )

      test(
        "bypass goes round what is stored",
        Effect.gen(function*() {
          const { all, batches } = yield* making()
          yield* all(1, 2)
          yield* Memoize.bypass(all(1, 3))
          deepStrictEqual(yield* all(3), named(3))
          deepStrictEqual(batches, [[1, 2], [1, 3], [3]])
        })
      )

      test(
        "enabled",
        Effect.gen(function*() {
          let enabled = false
          const { all, batches } = yield* making({ enabled: Effect.sync(() => enabled) })
          yield* all(1, 2)
          enabled = true
          yield* all(1, 2)
          yield* all(1, 2)
          deepStrictEqual(batches, [[1, 2], [1, 2]])
        })
      )

      test(
        "peek, keyOf, invalidate, softInvalidate and invalidateAll take the request",
        Effect.gen(function*() {
          const { all, batches, resolver } = yield* making()
          yield* all(1, 2, 3)
          const peeked = Option.getOrThrow(yield* resolver.peek(get(1)))
          deepStrictEqual({ ...peeked }, {
            age: Duration.zero,
            exit: Exit.succeed(Option.some("name 1")),
            state: "fresh",
            timeToLive: Duration.millis(1000)
          })
          assert.match(yield* resolver.keyOf(get(1)), /^[0-9a-f]{64}$/)
          assert.isTrue(yield* resolver.invalidate(get(1)))
          assert.isTrue(yield* resolver.softInvalidate(get(2)))
          yield* all(1, 2, 3)
          assert.strictEqual(yield* resolver.invalidateAll, 3)
          yield* all(3)
          deepStrictEqual(batches, [[1, 2, 3], [1, 2], [3]])
        })
      )

      test(
        "tags, a custom key, a codec and a name",
        Effect.gen(function*() {
          const { all, batches } = yield* making({
            codec: Codec.msgpack,
            key: ({ id }) => id % 10,
            name: "by digit",
            tags: ([{ id }]) => [`tag ${id}`]
          })
          deepStrictEqual(yield* all(1, 12), named(1, 12))
          deepStrictEqual(yield* all(11, 2), named(1, 12))
          yield* Memoize.invalidateTag("tag 12")
          deepStrictEqual(yield* all(1, 2), named(1, 2))
          deepStrictEqual(batches, [[1, 12], [2]])
          assert.strictEqual(yield* stored("by digit"), 2)
        })
      )

      test(
        "inMemory and bounds",
        Effect.gen(function*() {
          const { all, batches } = yield* making({ inMemory: { capacity: 10 }, maxEntries: 3 })
          yield* all(1, 2, 3, 4, 5)
          assert.isAtMost(yield* stored("GetName"), 3)
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* all(5, 6), named(5, 6))
          assert.strictEqual(batches.length, 2)
          assert.isAtMost(yield* stored("GetName"), 3)
        })
      )

      test(
        "what is invalidated while the resolver is under way is not stored",
        Effect.gen(function*() {
          const [gate, began] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const { all, batches, resolver } = yield* making({}, (id, batch) =>
            Effect.as(
              batch === 1 ? Effect.zipRight(Deferred.succeed(began, undefined), Deferred.await(gate)) : Effect.void,
              Option.some(`name ${id}`)
            ))
          const fiber = yield* Effect.fork(all(1, 2))
          yield* Deferred.await(began)
          yield* resolver.invalidate(get(1))
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(fiber)
          yield* engine.turns
          yield* all(1, 2)
          deepStrictEqual(batches, [[1, 2], [1]])
        })
      )

      test(
        "when the caller is interrupted, so is the resolver, as without this, and the next one begins anew",
        Effect.gen(function*() {
          const [gate, began] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          let interrupted = 0
          const { all, batches, one } = yield* making({}, (id, batch) =>
            batch > 1
              ? Effect.succeedSome(`name ${id}`)
              : Effect.onInterrupt(
                Effect.zipRight(Deferred.succeed(began, undefined), Effect.as(Deferred.await(gate), Option.none())),
                () => Effect.sync(() => interrupted++)
              ))
          const fiber = yield* Effect.fork(one(1))
          yield* Deferred.await(began)
          yield* Fiber.interrupt(fiber)
          yield* engine.turns
          yield* Deferred.succeed(gate, undefined)
          assert.strictEqual(interrupted, 1)
          deepStrictEqual(yield* all(1, 2), named(1, 2))
          deepStrictEqual(batches, [[1], [1, 2]])
        })
      )

      test(
        "a refresh in the background ends with the scope, which does not wait for it",
        Effect.gen(function*() {
          const gate = yield* Deferred.make<void>()
          const scope = yield* Scope.make()
          const { one } = yield* Scope.extend(
            making({ staleWhileRevalidate: 500 }, (id, batch) =>
              Effect.as(batch > 1 ? Deferred.await(gate) : Effect.void, Option.some(`name ${id}`))),
            scope
          )
          yield* one(1)
          yield* TestClock.adjust(1000)
          yield* one(1)
          yield* engine.turns
          const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
          yield* engine.turns
          const closed = yield* Fiber.poll(closing)
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(closing)
          assert.isTrue(Option.isSome(closed))
        })
      )

      test(
        "the interruption of one caller does not fail another who asks for the same",
        Effect.gen(function*() {
          const [gate, began] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const { all, batches, one } = yield* making({}, (id) =>
            Effect.zipRight(
              Deferred.succeed(began, undefined),
              Effect.as(Deferred.await(gate), Option.some(`name ${id}`))
            ))
          const first = yield* Effect.fork(one(1))
          yield* Deferred.await(began)
          const second = yield* Effect.fork(all(1, 2))
          yield* engine.turns
          yield* Fiber.interrupt(first)
          yield* Deferred.succeed(gate, undefined)
          deepStrictEqual(yield* Fiber.join(second), named(1, 2))
          deepStrictEqual(batches, [[1], [2]])
        })
      )

      test(
        "in a transaction",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { all, batches } = yield* making()
          yield* all(1)
          yield* Effect.flip(storage.transaction(Effect.gen(function*() {
            deepStrictEqual(yield* all(1, 2), named(1, 2))
            deepStrictEqual(yield* all(1, 2), named(1, 2))
            return yield* Effect.fail("no")
          })))
          yield* all(1, 2)
          deepStrictEqual(batches, [[1], [2], [2]])
        })
      )

      test(
        "the function and the resolver of one name and version do not mix their answers up",
        Effect.gen(function*() {
          const { one } = yield* making({ name: "both" })
          const memo = yield* Memoize.make({
            args: Schema.Tuple(GetName),
            name: "both",
            success: Schema.Number,
            timeToLive: 1000
          }, () =>
            Effect.succeed(1))
          yield* one(1)
          assert.strictEqual(yield* memo(get(1)), 1)
        })
      )
    })
  })
