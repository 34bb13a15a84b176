/** What `TtlStore.layerPersistence` promises: the persistence of `@effect/experimental`, kept on any engine. */
import { PersistedCache, Persistence, RequestResolver } from "@effect/experimental"
import { KeyValueStore as Platform } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  Cause,
  Chunk,
  Duration,
  Effect,
  Exit,
  FastCheck as fc,
  Layer,
  Option,
  PrimaryKey,
  RequestResolver as Resolver,
  Schema,
  type Scope,
  Stream,
  TestClock,
  TestContext
} from "effect"
import { Storage, StorageError, TtlStore } from "effect-kv"
import { describeOn, type Engine, memory } from "../engines.js"

type Ttl = Option.Option<Duration.Duration>
const never: Ttl = Option.none()
const millis = (millis: number): Ttl => Option.some(Duration.millis(millis))

const storeOf = (storeId: string) => Effect.flatMap(Persistence.BackingPersistence, (backing) => backing.make(storeId))

/** Long ones that differ in their last character, those that no engine keeps, and those that look like ours. */
const texts = [
  ...["", "a", "ab", "b", "\"", "\"a", "a\"\"b", "\\", "/", "\0", "\ud800", "\ufffd", "\ud83d", "\u{1f600}", "é"],
  ...["a".repeat(3000), `${"a".repeat(2999)}b`, "\ud800".repeat(400), `${"\ud800".repeat(399)}\ud801`],
  ...["a".repeat(998), "a".repeat(999)],
  JSON.stringify({ sha256: "x" })
]

type Command =
  | { readonly _tag: "get" | "remove"; readonly store: string; readonly key: string }
  | { readonly _tag: "getMany"; readonly store: string; readonly keys: ReadonlyArray<string> }
  | { readonly _tag: "set"; readonly store: string; readonly key: string; readonly value: unknown; readonly ttl: Ttl }
  | {
    readonly _tag: "setMany"
    readonly store: string
    readonly entries: ReadonlyArray<readonly [key: string, value: unknown, ttl: Ttl]>
  }
  | { readonly _tag: "clear"; readonly store: string }
  | { readonly _tag: "clock"; readonly millis: number }

const tag = <const Tag extends string>(...tags: ReadonlyArray<Tag>): fc.Arbitrary<Tag> => fc.constantFrom(...tags)
const text = fc.constantFrom(...texts)
const store = fc.constantFrom("", "a", "a\"", "a".repeat(3000), "\ud800", "ab")
const value = fc.oneof(
  fc.constantFrom(null, true, 0, -1.5, "", "\0", [], {}, { a: [1, { b: null }] }),
  fc.string({ unit: "grapheme" })
)
const ttl: fc.Arbitrary<Ttl> = fc.oneof(
  fc.constant(never),
  fc.integer({ max: 30, min: 0 }).map(millis),
  fc.constant(Option.some(Duration.infinity))
)
const command: fc.Arbitrary<Command> = fc.oneof(
  { arbitrary: fc.record({ _tag: tag("get", "remove"), key: text, store }), weight: 4 },
  { arbitrary: fc.record({ _tag: tag("getMany"), keys: fc.array(text), store }), weight: 3 },
  { arbitrary: fc.record({ _tag: tag("set"), key: text, store, ttl, value }), weight: 4 },
  { arbitrary: fc.record({ _tag: tag("setMany"), entries: fc.array(fc.tuple(text, value, ttl)), store }), weight: 3 },
  { arbitrary: fc.record({ _tag: tag("clock"), millis: fc.integer({ max: 20, min: 0 }) }), weight: 2 },
  fc.record({ _tag: tag("clear"), store })
)

const run = (
  backing: Persistence.BackingPersistence,
  command: Exclude<Command, { readonly _tag: "clock" }>
): Effect.Effect<unknown, Persistence.PersistenceError, Scope.Scope> =>
  Effect.flatMap(backing.make(command.store), (store): Effect.Effect<unknown, Persistence.PersistenceError> => {
    switch (command._tag) {
      case "get":
        return store.get(command.key)
      case "remove":
        // Theirs tells by accident whether there was something.
        return Effect.asVoid(store.remove(command.key))
      case "getMany":
        return store.getMany([...command.keys])
      case "set":
        return Effect.asVoid(store.set(command.key, command.value, command.ttl))
      case "setMany":
        return store.setMany(command.entries)
      case "clear":
        return store.clear
    }
  })

class Item extends Schema.Class<Item>("Item")({ at: Schema.Date, id: Schema.Number }) {}
class NoItem extends Schema.TaggedError<NoItem>()("NoItem", { id: Schema.Number }) {}

class GetItem extends Schema.TaggedRequest<GetItem>()("GetItem", {
  failure: NoItem,
  payload: { id: Schema.Number },
  success: Item
}) {
  [PrimaryKey.symbol]() {
    return `item:${this.id}`
  }
}

class Nothing extends Schema.TaggedRequest<Nothing>()("Nothing", {
  failure: Schema.Void,
  payload: { id: Schema.Number },
  success: Schema.Void
}) {
  [PrimaryKey.symbol]() {
    return `nothing:${this.id}`
  }
}

const item = (id: number) => new Item({ at: new Date(id), id })

/** Knows items of even ids, and counts what it was asked. */
const makeLookup = () => {
  const asked: Array<number> = []
  const lookup = ({ id }: GetItem): Effect.Effect<Item, NoItem> =>
    Effect.suspend(() => {
      asked.push(id)
      return id % 2 === 0 ? Effect.succeed(item(id)) : Effect.fail(new NoItem({ id }))
    })
  return { asked, lookup }
}

/** A success for an hour, a failure for a minute. */
const timeToLive = (_: unknown, exit: Exit.Exit<unknown, unknown>) => Exit.isSuccess(exit) ? "1 hour" : "1 minute"

export const suite = (engine: Engine) =>
  describeOn(engine, "TtlStore.layerPersistence", () => {
    const results = Layer.provideMerge(Persistence.layerResult, TtlStore.layerPersistence())
    const test = <A, E>(
      title: string,
      body: Effect.Effect<
        A,
        E,
        Persistence.BackingPersistence | Persistence.ResultPersistence | Storage.Storage | Scope.Scope
      >
    ) => it.scoped(title, () => Effect.provide(body, Layer.provideMerge(results, engine.layer)))

    describe("a backing store", () => {
      it("answers what their store in memory does", () =>
        fc.assert(
          fc.asyncProperty(fc.array(command, { maxLength: 25 }), (commands) =>
            Effect.gen(function*() {
              const ours = yield* Persistence.BackingPersistence
              const theirs = yield* Effect.provide(Persistence.BackingPersistence, Persistence.layerMemory)
              for (const command of commands) {
                if (command._tag === "clock") yield* TestClock.adjust(command.millis)
                else deepStrictEqual(yield* run(ours, command), yield* run(theirs, command), JSON.stringify(command))
              }
            }).pipe(
              Effect.scoped,
              Effect.provide(Layer.provide(TtlStore.layerPersistence(), engine.layer)),
              Effect.provide(TestContext.TestContext),
              Effect.runPromise
            )),
          { numRuns: engine === memory ? 60 : 15 }
        ), 60_000)

      test(
        "of any id keeps any keys apart, and clears its own",
        Effect.gen(function*() {
          const entries = texts.map((key) => [key, key === "\ud800" ? "lone" : key.length, never] as const)
          const valueOf = (id: string, key: string) => `${texts.indexOf(id)}/${texts.indexOf(key)}`
          for (const id of texts) {
            const store = yield* storeOf(id)
            yield* store.setMany(entries.map(([key, , ttl]) => [key, valueOf(id, key), ttl]))
          }
          for (const cleared of texts) {
            yield* Effect.flatMap(storeOf(cleared), (store) => store.clear)
            for (const id of texts) {
              const found = yield* Effect.flatMap(storeOf(id), (store) => store.getMany([...texts]))
              deepStrictEqual(
                found,
                texts.map((key) =>
                  texts.indexOf(id) <= texts.indexOf(cleared) ? Option.none() : Option.some(valueOf(id, key))
                )
              )
            }
          }
        })
      )

      test(
        "keeps what has no time to live in setMany, and clears no other, unlike theirs on a KeyValueStore",
        Effect.gen(function*() {
          const behaviour = (backing: Persistence.BackingPersistence) =>
            Effect.gen(function*() {
              const store = yield* backing.make("s")
              const other = yield* backing.make("other")
              yield* other.set("k", "other", never)
              yield* store.setMany([["a", 1, never], ["b", 2, millis(1000)]])
              const found = yield* store.getMany(["a", "b"])
              yield* store.clear
              return [...found, yield* other.get("k")]
            })
          deepStrictEqual(
            yield* Effect.flatMap(Persistence.BackingPersistence, behaviour),
            [Option.some(1), Option.some(2), Option.some("other")]
          )
          const theirs = Layer.provide(Persistence.layerKeyValueStore, Platform.layerMemory)
          deepStrictEqual(
            yield* Effect.provide(Effect.flatMap(Persistence.BackingPersistence, behaviour), theirs),
            [Option.none(), Option.some(2), Option.none()]
          )
        })
      )

      test(
        "has its entries expire exactly then, and never if that is said or nothing is",
        Effect.gen(function*() {
          const store = yield* storeOf("s")
          yield* store.set("none", 1, never)
          yield* store.set("infinite", 1, Option.some(Duration.infinity))
          yield* store.set("100", 1, millis(100))
          yield* store.set("zero", 1, never)
          yield* store.set("zero", 2, millis(0))
          yield* store.set("negative", 1, millis(-5))
          const keys = ["none", "infinite", "100", "zero", "negative"]
          const there = Effect.map(store.getMany(keys), (found) => keys.filter((_, i) => Option.isSome(found[i]!)))
          deepStrictEqual(yield* there, ["none", "infinite", "100"])
          yield* TestClock.adjust(99)
          deepStrictEqual(yield* there, ["none", "infinite", "100"])
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* there, ["none", "infinite"])
          yield* TestClock.adjust("10000 days")
          deepStrictEqual(yield* there, ["none", "infinite"])
          // What has expired is swept with everything else, whosever store it is in.
          const { maintenance } = yield* Storage.Storage
          assert.strictEqual(yield* maintenance.compact, 3)
        })
      )

      test(
        "shares nothing with who gave or took a value",
        Effect.gen(function*() {
          const store = yield* storeOf("s")
          const value = { list: [1] }
          yield* store.set("k", value, never)
          value.list.push(2)
          deepStrictEqual(yield* store.get("k"), Option.some({ list: [1] }))
        })
      )

      test(
        "keeps undefined and null, which are values",
        Effect.gen(function*() {
          const store = yield* storeOf("s")
          yield* store.setMany([["undefined", undefined, never], ["null", null, never]])
          deepStrictEqual(
            yield* store.getMany(["null", "undefined", "none", "null"]),
            [Option.some(null), Option.some(undefined), Option.none(), Option.some(null)]
          )
          deepStrictEqual(yield* store.getMany([]), [])
          yield* store.setMany([])
        })
      )

      test(
        "takes more entries at once than a statement has parameters",
        Effect.gen(function*() {
          const store = yield* storeOf("s")
          const many = Array.from({ length: 12_000 }, (_, i) => `${i}`)
          yield* store.setMany(many.map((key) => [key, key, never]))
          deepStrictEqual(yield* store.getMany(many), many.map(Option.some))
        })
      )
    })

    describe("failures", () => {
      const cycle: Array<unknown> = []
      cycle.push(cycle)
      const deep = JSON.parse("[".repeat(5000) + "]".repeat(5000)) as unknown
      const noJson: ReadonlyArray<readonly [string, unknown]> = [
        ["NaN", NaN],
        ["infinity", [Infinity]],
        ["a bigint", 1n],
        ["a function", { f: () => 1 }],
        ["a symbol", Symbol("x")],
        ["undefined in an array", [undefined]],
        ["a Date", new Date(0)],
        ["bytes", new Uint8Array(2)],
        ["a Map", new Map()],
        ["a lone surrogate", "\ud800"],
        ["what contains itself", cycle],
        ["a getter that throws", {
          get x() {
            throw new Error("mine")
          }
        }]
      ]

      for (const [what, value] of noJson) {
        test(
          `${what} is no JSON: the error says so, and nothing is written`,
          Effect.gen(function*() {
            const store = yield* storeOf("s")
            yield* store.set("k", "before", never)
            for (
              const [method, effect] of [
                ["set", store.set("k", value, never)],
                ["setMany", store.setMany([["other", 1, never], ["k", value, never]])]
              ] as const
            ) {
              const error = yield* Effect.flip(effect)
              assert(error instanceof Persistence.PersistenceBackingError)
              assert.strictEqual(error._tag, "PersistenceError")
              assert.strictEqual(error.method, method)
              assert(error.cause instanceof Error && "_tag" in error.cause)
              assert.strictEqual(error.cause._tag, "CodecError")
            }
            deepStrictEqual(yield* store.getMany(["k", "other"]), [Option.some("before"), Option.none()])
          })
        )
      }

      test(
        "depth is kept, or refused; it is never a defect",
        Effect.gen(function*() {
          const store = yield* storeOf("s")
          const exit = yield* Effect.exit(store.set("k", deep, never))
          assert(Exit.isSuccess(exit) || Cause.isFailType(exit.cause))
          if (Exit.isSuccess(exit)) {
            const found = Option.getOrThrow(yield* store.get("k"))
            assert.strictEqual(JSON.stringify(found), JSON.stringify(deep))
          }
        })
      )

      test(
        "what is stored and no JSON fails the reading of it",
        Effect.gen(function*() {
          const store = yield* storeOf("s")
          yield* store.set("k", 1, never)
          const { keyspace } = yield* Storage.Storage
          const raw = yield* keyspace("persistence")
          const [key] = Chunk.toReadonlyArray(yield* Stream.runCollect(raw.keys()))
          yield* raw.set(key!, "{")
          for (const [method, effect] of [["get", store.get("k")], ["getMany", store.getMany(["k"])]] as const) {
            const error = yield* Effect.flip<unknown, Persistence.PersistenceError, never>(effect)
            assert(error instanceof Persistence.PersistenceBackingError)
            assert.strictEqual(error.method, method)
          }
          yield* store.set("k", 2, never)
          deepStrictEqual(yield* store.get("k"), Option.some(2))
        })
      )

      test(
        "a keyspace that does not open fails the engine.layer",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          yield* storage.keyspace("of bytes", { keys: "bytes" })
          const error = yield* Effect.flip(Layer.build(TtlStore.layerPersistence({ keyspace: "of bytes" })))
          assert.instanceOf(error, StorageError.StorageError)
          assert.strictEqual(error.reason, "Incompatible")
        })
      )
    })

    describe("results", () => {
      test(
        "are kept: successes, failures, defects",
        Effect.gen(function*() {
          const { make } = yield* Persistence.ResultPersistence
          const store = yield* make({ storeId: "results" })
          const [even, odd] = [new GetItem({ id: 2 }), new GetItem({ id: 3 })]
          yield* store.set(even, Exit.succeed(item(2)))
          yield* store.set(odd, Exit.fail(new NoItem({ id: 3 })))
          deepStrictEqual(yield* store.get(even), Option.some(Exit.succeed(item(2))))
          deepStrictEqual(yield* store.getMany([odd, new GetItem({ id: 4 }), even]), [
            Option.some(Exit.fail(new NoItem({ id: 3 }))),
            Option.none(),
            Option.some(Exit.succeed(item(2)))
          ])
          yield* store.set(even, Exit.die(new Error("broken")))
          const died = Option.getOrThrow(yield* store.get(even))
          assert(Exit.isFailure(died) && Cause.isDie(died.cause))
          assert.include(Cause.pretty(died.cause), "broken")
          for (const exit of [Exit.void, Exit.fail(undefined)]) {
            yield* store.set(new Nothing({ id: 1 }), exit)
            deepStrictEqual(yield* store.get(new Nothing({ id: 1 })), Option.some(exit))
          }
          yield* store.remove(even)
          deepStrictEqual(yield* store.get(even), Option.none())
          yield* store.clear
          deepStrictEqual(yield* store.get(odd), Option.none())
        })
      )

      test(
        "live as long as each is told, in setMany as well",
        Effect.gen(function*() {
          const { make } = yield* Persistence.ResultPersistence
          const store = yield* make({
            storeId: "results",
            timeToLive: (_, exit) => Exit.isSuccess(exit) ? Duration.infinity : "1 minute"
          })
          const [even, odd] = [new GetItem({ id: 2 }), new GetItem({ id: 3 })]
          yield* store.setMany([[even, Exit.succeed(item(2))], [odd, Exit.fail(new NoItem({ id: 3 }))]])
          assert.isTrue(Option.isSome(yield* store.get(odd)))
          yield* TestClock.adjust("1 minute")
          assert.isTrue(Option.isNone(yield* store.get(odd)))
          yield* TestClock.adjust("1000 days")
          assert.isTrue(Option.isSome(yield* store.get(even)))
        })
      )
    })

    test(
      "PersistedCache asks once, until the result has expired or is invalidated",
      Effect.gen(function*() {
        const { asked, lookup } = makeLookup()
        // Two with memories of their own, as two processes have.
        const options = { inMemoryTTL: 0, lookup, storeId: "items", timeToLive }
        const first = yield* PersistedCache.make(options)
        const second = yield* PersistedCache.make(options)
        const [even, odd] = [new GetItem({ id: 2 }), new GetItem({ id: 3 })]
        for (const cache of [first, second, first]) {
          deepStrictEqual(yield* cache.get(even), item(2))
          deepStrictEqual(yield* Effect.flip(cache.get(odd)), new NoItem({ id: 3 }))
        }
        deepStrictEqual(asked, [2, 3])
        yield* TestClock.adjust("1 minute")
        yield* second.get(even)
        yield* Effect.flip(second.get(odd))
        deepStrictEqual(asked, [2, 3, 3])
        yield* TestClock.adjust("59 minutes")
        yield* first.get(even)
        deepStrictEqual(asked, [2, 3, 3, 2])
        yield* first.invalidate(even)
        yield* second.get(even)
        deepStrictEqual(asked, [2, 3, 3, 2, 2])
      })
    )

    test(
      "RequestResolver.persisted asks for what is not there, or has expired",
      Effect.gen(function*() {
        const { asked, lookup } = makeLookup()
        const resolver = yield* RequestResolver.persisted(Resolver.fromEffect(lookup), { storeId: "items", timeToLive })
        const get = (...ids: ReadonlyArray<number>) =>
          Effect.forEach(ids, (id) => Effect.exit(Effect.request(new GetItem({ id }), resolver)), { batching: true })
        const missing = Exit.fail(new NoItem({ id: 3 }))
        deepStrictEqual(yield* get(2, 3), [Exit.succeed(item(2)), missing])
        deepStrictEqual(yield* get(3, 4, 2), [missing, Exit.succeed(item(4)), Exit.succeed(item(2))])
        deepStrictEqual(asked, [2, 3, 4])
        yield* TestClock.adjust("1 minute")
        yield* get(2, 3, 4)
        deepStrictEqual(asked, [2, 3, 4, 3])
        yield* TestClock.adjust("1 hour")
        yield* get(2)
        deepStrictEqual(asked, [2, 3, 4, 3, 2])
      })
    )
  })
