/** What `KeyValueStore.layerPlatform` promises: the contract of `@effect/platform`, kept on any engine. */
import type { Error as PlatformError } from "@effect/platform"
import { KeyValueStore as Platform } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Effect, Encoding, Exit, FastCheck as fc, Layer, Option, ParseResult, Schema, TestClock } from "effect"
import { KeyValueStore, Storage, StorageError, TtlStore } from "effect-kv"
import { describeOn, type Engine, postgres } from "../engines.js"
import { atOnce } from "../support.js"

const bytes = new Uint8Array([0, 1, 254, 255])

type Command =
  | { readonly _tag: "get" | "getUint8Array" | "has" | "remove" | "modify" | "modifyUint8Array"; readonly key: string }
  | { readonly _tag: "set"; readonly key: string; readonly value: string | Uint8Array }
  | { readonly _tag: "clear" | "size" | "isEmpty" }

const key = fc.constantFrom("", "a", "ab", "é", "\u{1F600}", "A")
const tag = <const Tags extends ReadonlyArray<string>>(...tags: Tags): fc.Arbitrary<Tags[number]> =>
  fc.constantFrom(...tags)
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    arbitrary: fc.record({
      _tag: tag("set"),
      key,
      value: fc.oneof(fc.string({ maxLength: 4, unit: "grapheme" }), fc.uint8Array({ maxLength: 4 }))
    }),
    weight: 4
  },
  {
    arbitrary: fc.record({
      _tag: tag("get", "getUint8Array", "has", "remove", "modify", "modifyUint8Array"),
      key
    }),
    weight: 8
  },
  { arbitrary: fc.record({ _tag: tag("size", "isEmpty") }), weight: 2 },
  fc.record({ _tag: tag("clear") })
)

const run = (kv: Platform.KeyValueStore, command: Command): Effect.Effect<unknown, PlatformError.PlatformError> => {
  switch (command._tag) {
    case "get":
    case "getUint8Array":
    case "has":
      return kv[command._tag](command.key)
    case "remove":
      // Theirs tells by accident whether there was something.
      return Effect.asVoid(kv.remove(command.key))
    case "modify":
      return kv.modify(command.key, (text) => `${text}!`)
    case "modifyUint8Array":
      return kv.modifyUint8Array(command.key, (value) => new Uint8Array([...value, 7]))
    case "set":
      return Effect.asVoid(kv.set(command.key, command.value))
    case "clear":
      return Effect.asVoid(kv.clear)
    case "size":
    case "isEmpty":
      return kv[command._tag]
  }
}

/** A schema that cannot be run at once. */
const Slow = Schema.transformOrFail(Schema.Number, Schema.Number, {
  decode: (n) => Effect.as(Effect.yieldNow(), n),
  encode: (n, _, ast) =>
    Effect.zipRight(
      Effect.yieldNow(),
      n >= 0 ? ParseResult.succeed(n) : ParseResult.fail(new ParseResult.Type(ast, n, "negative"))
    ),
  strict: true
})

const fibers = 20

export const everyMethod = (kv: Platform.KeyValueStore, key: string) =>
  Object.entries<Effect.Effect<unknown, PlatformError.PlatformError>>({
    clear: kv.clear,
    get: kv.get(key),
    getUint8Array: kv.getUint8Array(key),
    has: kv.has(key),
    isEmpty: kv.isEmpty,
    modify: kv.modify(key, (text) => text),
    modifyUint8Array: kv.modifyUint8Array(key, (value) => value),
    remove: kv.remove(key),
    set: kv.set(key, "x"),
    size: kv.size
  })

export const suite = (engine: Engine) =>
  describeOn(engine, "KeyValueStore.layerPlatform", () => {
    const test = <A, E>(
      title: string,
      body: Effect.Effect<A, E, Platform.KeyValueStore | KeyValueStore.Plain | Storage.Storage>
    ) =>
      it.effect(title, () =>
        Effect.provide(
          body,
          // The same entries as seen by our own store.
          Layer.provideMerge(
            Layer.mergeAll(KeyValueStore.layerPlatform(), KeyValueStore.layer({ keyspace: "platform" })),
            engine.layer
          )
        ))

    describe("values", () => {
      test(
        "text is kept as text, and bytes as bytes",
        Effect.gen(function*() {
          const kv = yield* Platform.KeyValueStore
          const plain = yield* KeyValueStore.KeyValueStore
          yield* kv.set("text", "grüße \u{1F600}")
          yield* kv.set("bytes", bytes)
          deepStrictEqual(yield* plain.get("text"), Option.some("grüße \u{1F600}"))
          deepStrictEqual(yield* plain.get("bytes"), Option.some(bytes))
        })
      )

      test(
        "bytes read as base64, and text as its UTF-8",
        Effect.gen(function*() {
          const kv = yield* Platform.KeyValueStore
          yield* kv.set("text", "grüße")
          yield* kv.set("bytes", bytes)
          deepStrictEqual(yield* kv.get("bytes"), Option.some(Encoding.encodeBase64(bytes)))
          deepStrictEqual(yield* kv.getUint8Array("text"), Option.some(new TextEncoder().encode("grüße")))
          deepStrictEqual(yield* kv.getUint8Array("bytes"), Option.some(bytes))
          deepStrictEqual(yield* kv.get("none"), Option.none())
          deepStrictEqual(yield* kv.getUint8Array("none"), Option.none())
        })
      )

      it("all answers are those of their store in memory", () =>
        fc.assert(
          fc.asyncProperty(fc.array(command, { maxLength: 30 }), (commands) =>
            Effect.gen(function*() {
              const ours = yield* Platform.KeyValueStore
              const theirs = yield* Effect.provide(Platform.KeyValueStore, Platform.layerMemory)
              for (const command of commands) {
                deepStrictEqual(yield* run(ours, command), yield* run(theirs, command), JSON.stringify(command))
              }
            }).pipe(
              Effect.provide(Layer.provide(KeyValueStore.layerPlatform({ prefix: "p" }), engine.layer)),
              Effect.runPromise
            )),
          { numRuns: engine === postgres ? 15 : 40 }
        ))
    })

    describe("modify", () => {
      const appending: Record<
        "modify" | "modifyUint8Array",
        (kv: Platform.KeyValueStore) => Effect.Effect<Option.Option<string | Uint8Array>, PlatformError.PlatformError>
      > = {
        modify: (kv) => kv.modify("k", (text) => `${text}x`),
        modifyUint8Array: (kv) => kv.modifyUint8Array("k", (value) => new Uint8Array([...value, 120]))
      }
      for (const method of ["modify", "modifyUint8Array"] as const) {
        const append = appending[method]
        test(
          `${method} is atomic`,
          Effect.gen(function*() {
            const kv = yield* Platform.KeyValueStore
            yield* kv.set("k", "")
            const answers = yield* atOnce(fibers, append(kv))
            deepStrictEqual(
              yield* kv.get("k"),
              Option.some(
                method === "modify"
                  ? "x".repeat(fibers)
                  : Encoding.encodeBase64("x".repeat(fibers))
              )
            )
            // Each has its own answer: what it wrote.
            deepStrictEqual(
              answers.map((answer) => Option.getOrThrow(answer).length).sort((a, b) => a - b),
              Array.from({ length: fibers }, (_, i) => i + 1)
            )
          })
        )

        test(
          `${method} by a function that throws dies, and writes nothing`,
          Effect.gen(function*() {
            const kv = yield* Platform.KeyValueStore
            yield* kv.set("k", "before")
            const thrown = (): never => {
              throw new Error("mine")
            }
            const exit = yield* Effect.exit<unknown, PlatformError.PlatformError, never>(
              method === "modify" ? kv.modify("k", thrown) : kv.modifyUint8Array("k", thrown)
            )
            assert(Exit.isFailure(exit) && Cause.isDie(exit.cause))
            assert.include(Cause.pretty(exit.cause), "mine")
            deepStrictEqual(yield* kv.get("k"), Option.some("before"))
          })
        )

        test(
          `${method} of what is absent writes nothing`,
          Effect.gen(function*() {
            const kv = yield* Platform.KeyValueStore
            deepStrictEqual(yield* append(kv), Option.none())
            assert.isTrue(yield* kv.isEmpty)
          })
        )
      }

      test(
        "keeps the expiry that a TtlStore of the same keyspace has set",
        Effect.gen(function*() {
          const kv = yield* Platform.KeyValueStore
          const expiring = yield* TtlStore.make({ keyspace: "platform", value: Schema.Number })
          yield* expiring.set("n", 1, { timeToLive: "1 minute" })
          yield* kv.modify("n", (text) => `${text}0`)
          deepStrictEqual(yield* expiring.get("n"), Option.some(10))
          yield* TestClock.adjust("1 minute")
          deepStrictEqual(yield* kv.get("n"), Option.none())
        })
      )
    })

    describe("a part of a store", () => {
      const other = "other"
      const fill = Effect.gen(function*() {
        const all = yield* Platform.KeyValueStore
        yield* all.set(other, other)
        yield* all.set("x/own", "own")
        return all
      })

      test(
        "made by their prefix is not complete",
        Effect.gen(function*() {
          const all = yield* fill
          const part = Platform.prefix(all, "x/")
          deepStrictEqual(yield* part.get("own"), Option.some("own"))
          deepStrictEqual(yield* part.getUint8Array("own"), Option.none())
          deepStrictEqual(yield* part.modifyUint8Array("own", (value) => value), Option.none())
          assert.strictEqual(yield* part.size, 2)
          yield* part.clear
          deepStrictEqual(yield* all.get(other), Option.none())
        })
      )

      test(
        "made by the engine.layer is",
        Effect.gen(function*() {
          const all = yield* fill
          const storage = yield* Storage.Storage
          const part = yield* Platform.KeyValueStore.pipe(
            Effect.provide(KeyValueStore.layerPlatform({ prefix: "x/" })),
            Effect.provideService(Storage.Storage, storage)
          )
          deepStrictEqual(yield* part.get("own"), Option.some("own"))
          deepStrictEqual(yield* part.getUint8Array("own"), Option.some(new TextEncoder().encode("own")))
          deepStrictEqual(yield* part.modifyUint8Array("own", () => bytes), Option.some(bytes))
          deepStrictEqual(yield* all.getUint8Array("x/own"), Option.some(bytes))
          deepStrictEqual(yield* part.modify("own", () => "own"), Option.some("own"))
          assert.isFalse(yield* part.has(other))
          yield* part.remove(other)
          assert.strictEqual(yield* part.size, 1)
          yield* part.set("more", "more")
          assert.isTrue(yield* all.has("x/more"))
          yield* part.clear
          assert.isTrue(yield* part.isEmpty)
          deepStrictEqual(yield* all.get(other), Option.some(other))
          assert.strictEqual(yield* all.size, 1)
        })
      )

      test(
        "in a keyspace of its own is, too",
        Effect.gen(function*() {
          const all = yield* fill
          const storage = yield* Storage.Storage
          const part = yield* Platform.KeyValueStore.pipe(
            Effect.provide(KeyValueStore.layerPlatform({ keyspace: "elsewhere" })),
            Effect.provideService(Storage.Storage, storage)
          )
          assert.isTrue(yield* part.isEmpty)
          yield* part.set(other, "x")
          yield* part.clear
          assert.strictEqual(yield* all.size, 2)
        })
      )
    })

    describe("forSchema", () => {
      const Point = Schema.Struct({ at: Schema.Date, x: Schema.Number })

      test(
        "is a store of its values, as JSON",
        Effect.gen(function*() {
          const kv = yield* Platform.KeyValueStore
          const points = kv.forSchema(Point)
          const point = { at: new Date(0), x: 1 }
          assert.isTrue(yield* points.isEmpty)
          yield* points.set("p", point)
          deepStrictEqual(yield* points.get("p"), Option.some(point))
          deepStrictEqual(
            JSON.parse(Option.getOrThrow(yield* kv.get("p"))),
            { at: "1970-01-01T00:00:00.000Z", x: 1 }
          )
          deepStrictEqual(
            yield* points.modify("p", ({ at, x }) => ({ at, x: x + 1 })),
            Option.some({ at: new Date(0), x: 2 })
          )
          deepStrictEqual(yield* points.get("p"), Option.some({ at: new Date(0), x: 2 }))
          deepStrictEqual(yield* points.modify("none", (point) => point), Option.none())
          assert.isTrue(yield* points.has("p"))
          assert.strictEqual(yield* points.size, 1)
          yield* points.remove("p")
          assert.isFalse(yield* points.has("p"))
          yield* points.set("p", point)
          yield* points.clear
          assert.strictEqual(yield* kv.size, 0)
        })
      )

      test(
        "fails as ParseError for what does not fit",
        Effect.gen(function*() {
          const kv = yield* Platform.KeyValueStore
          const points = kv.forSchema(Point)
          yield* kv.set("p", "{\"x\":1}")
          assert.instanceOf(yield* Effect.flip(points.get("p")), ParseResult.ParseError)
          assert.instanceOf(yield* Effect.flip(points.modify("p", (point) => point)), ParseResult.ParseError)
          const slow = kv.forSchema(Slow)
          yield* slow.set("n", 1)
          assert.instanceOf(yield* Effect.flip(slow.modify("n", () => -1)), ParseResult.ParseError)
          deepStrictEqual(yield* slow.get("n"), Option.some(1))
        })
      )

      test(
        "has an atomic modify, which theirs is not",
        Effect.gen(function*() {
          const kv = yield* Platform.KeyValueStore
          const ours = kv.forSchema(Slow)
          yield* ours.set("n", 0)
          const answers = yield* Effect.all(
            Array.from({ length: fibers }, () => ours.modify("n", (n) => n + 1)),
            { concurrency: "unbounded" }
          )
          deepStrictEqual(yield* ours.get("n"), Option.some(fibers))
          deepStrictEqual(
            answers.map(Option.getOrThrow).sort((a, b) => a - b),
            Array.from({ length: fibers }, (_, i) => i + 1)
          )
          const { clear, get, getUint8Array, remove, set, size } = kv
          const theirs = Platform.make({ clear, get, getUint8Array, remove, set, size }).forSchema(Slow)
          yield* theirs.set("n", 0)
          yield* Effect.all(
            Array.from({ length: fibers }, () => theirs.modify("n", (n) => n + 1)),
            { concurrency: "unbounded" }
          )
          assert.isBelow(Option.getOrThrow(yield* theirs.get("n")), fibers)
        })
      )

      test(
        "of their prefix stays inside, and is atomic as well",
        Effect.gen(function*() {
          const kv = yield* Platform.KeyValueStore
          const numbers = Platform.prefix(kv, "n/").forSchema(Slow)
          yield* numbers.set("n", 0)
          yield* Effect.all(
            Array.from({ length: fibers }, () => numbers.modify("n", (n) => n + 1)),
            { concurrency: "unbounded" }
          )
          deepStrictEqual(yield* kv.get("n/n"), Option.some(String(fibers)))
          assert.strictEqual(yield* kv.size, 1)
        })
      )

      test(
        "makes the stores of their layerSchema",
        Effect.gen(function*() {
          const kv = yield* Platform.KeyValueStore
          const { layer, tag } = Platform.layerSchema(Point, "test/Points")
          const points = yield* Effect.provide(tag, layer)
          yield* points.set("p", { at: new Date(0), x: 1 })
          assert.isTrue(yield* kv.has("p"))
        })
      )
    })

    describe("errors", () => {
      test(
        "a key or value that cannot be kept is a bad argument",
        Effect.gen(function*() {
          const kv = yield* Platform.KeyValueStore
          for (const [method, effect] of everyMethod(kv, "\0")) {
            if (["clear", "isEmpty", "size"].includes(method)) continue
            const error = yield* Effect.flip(effect)
            assert(error._tag === "BadArgument", method)
            assert.strictEqual(error.module, "KeyValueStore")
            assert.strictEqual(error.method, method)
            assert.instanceOf(error.cause, StorageError.InvalidKey)
            assert.include(error.message, "it contains NUL")
          }
          yield* kv.set("k", "before")
          for (const effect of [kv.set("k", "\ud800"), Effect.asVoid(kv.modify("k", () => "\ud800"))]) {
            const error = yield* Effect.flip(effect)
            assert.strictEqual(error._tag, "BadArgument")
            assert.include(error.message, "lone surrogate")
          }
          deepStrictEqual(yield* kv.get("k"), Option.some("before"))
        })
      )

      test(
        "a keyspace that does not open fails the engine.layer",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          yield* storage.keyspace("of bytes", { keys: "bytes" })
          const error = yield* KeyValueStore.layerPlatform({ keyspace: "of bytes" }).pipe(
            Layer.build,
            Effect.provideService(Storage.Storage, storage),
            Effect.scoped,
            Effect.flip
          )
          assert.strictEqual(error.reason, "Incompatible")
        })
      )
    })
  })
