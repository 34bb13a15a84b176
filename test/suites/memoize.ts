/** What a memoised function stores, for how long, and what can be done to it, on any engine. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Duration, Effect, Exit, Option, Redacted, Ref, Schema, TestClock } from "effect"
import { Codec, Memoize, Storage, StorageError } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { counting, keyspaceOf, start, stored, testOn } from "../memoized.js"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.String }) {}
class Broken extends Schema.TaggedError<Broken>()("Broken", { at: Schema.Date }) {}

class User extends Schema.Class<User>("User")({
  born: Schema.Date,
  id: Schema.Number,
  name: Schema.OptionFromNullOr(Schema.String)
}) {}

export const suite = (engine: Engine) =>
  describeOn(engine, "Memoize", () => {
    const test = testOn(engine)

    /** Whether a value is answered from what is stored, by another memo of the same name, as in another process. */
    const comesBack = <A, I>(
      name: string,
      success: Schema.Schema<A, I>,
      value: A,
      options: Pick<Memoize.CommonOptions<readonly [], A, never, never, never, never>, "codec"> = {}
    ) =>
      Effect.gen(function*() {
        let calls = 0
        const make = Memoize.make(
          { args: Schema.Tuple(), name, success, timeToLive: "1 minute", ...options },
          () => Effect.sync(() => (calls++, value))
        )
        const [memo, other] = [yield* make, yield* make]
        deepStrictEqual(yield* memo(), value, name)
        deepStrictEqual(yield* memo(), value, name)
        deepStrictEqual(yield* other(), value, name)
        assert.strictEqual(calls, 1, name)
      })

    describe("stores and serves", () => {
      test(
        "calls the function once for the same arguments",
        Effect.gen(function*() {
          const { called, memo } = yield* counting()
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(yield* memo("b"), 2)
          assert.strictEqual(yield* memo("a"), 1)
          deepStrictEqual(called, ["a", "b"])
        })
      )

      test(
        "what one stored, another of the same name answers",
        Effect.gen(function*() {
          const [one, other] = [yield* counting(), yield* counting()]
          assert.strictEqual(yield* one.memo("a"), 1)
          assert.strictEqual(yield* other.memo("a"), 1)
          assert.strictEqual(other.calls(), 0)
        })
      )

      test(
        "functions of other names know nothing of each other",
        Effect.gen(function*() {
          const [one, other] = [yield* counting({ name: "one" }), yield* counting({ name: "other" })]
          yield* one.memo("a")
          yield* other.memo("a")
          assert.strictEqual(other.calls(), 1)
          assert.isTrue(yield* one.memo.invalidate("a"))
          yield* other.memo("a")
          assert.strictEqual(other.calls(), 1)
        })
      )

      test(
        "also outlive the scope of the function",
        Effect.gen(function*() {
          yield* Effect.scoped(Effect.flatMap(counting(), ({ memo }) => memo("a")))
          const { calls, memo } = yield* counting()
          assert.strictEqual(yield* memo("a"), 1)
          assert.strictEqual(calls(), 0)
        })
      )

      test(
        "stores under the key that keyOf tells, in the keyspace that is said",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const plain = yield* counting()
          const elsewhere = yield* counting({ keyspace: "elsewhere", name: "elsewhere too" })
          yield* plain.memo("a")
          yield* elsewhere.memo("a")
          for (const [{ memo }, name] of [[plain, "memo/counting"], [elsewhere, "elsewhere"]] as const) {
            const keyspace = yield* storage.keyspace(name)
            assert.isTrue(Option.isSome(yield* keyspace.head(yield* memo.keyOf("a"))), name)
            assert.isTrue(Option.isNone(yield* keyspace.head(yield* memo.keyOf("b"))), name)
          }
        })
      )

      test(
        "functions of no arguments and of several",
        Effect.gen(function*() {
          const calls: Array<unknown> = []
          const none = yield* Memoize.make(
            { args: Schema.Tuple(), name: "none", success: Schema.Number, timeToLive: 1000 },
            () => Effect.sync(() => calls.push([]))
          )
          const several = yield* Memoize.make({
            args: Schema.Tuple(Schema.Date, Schema.optionalElement(Schema.Struct({ deep: Schema.Boolean }))),
            name: "several",
            success: Schema.Number,
            timeToLive: 1000
          }, (...args) => Effect.sync(() => calls.push(args)))
          const rest = yield* Memoize.make({
            args: Schema.Array(Schema.Number),
            name: "rest",
            success: Schema.Number,
            timeToLive: 1000
          }, (...numbers) => Effect.sync(() => numbers.reduce((sum, n) => sum + n, 0)))
          const date = new Date(7)
          const all = Effect.all([
            none(),
            several(date),
            several(date, { deep: true }),
            several(date, { deep: false }),
            several(new Date(8)),
            rest(),
            rest(1, 2),
            rest(2, 2)
          ])
          deepStrictEqual(yield* all, yield* all)
          deepStrictEqual(calls, [[], [date], [date, { deep: true }], [date, { deep: false }], [new Date(8)]])
          deepStrictEqual(yield* Effect.all([rest(), rest(1, 2), rest(2, 2)]), [0, 3, 4])
        })
      )

      test(
        "services of the function and of the schemas are taken once",
        Effect.gen(function*() {
          const secret = yield* Ref.make("s3cret")
          class Secret extends Effect.Tag("test/Secret")<Secret, { readonly word: Ref.Ref<string> }>() {}
          const memo = yield* Effect.provideService(
            Memoize.make({
              args: Schema.Tuple(Schema.String),
              name: "services",
              success: Schema.String,
              timeToLive: 1000
            }, (text) => Effect.flatMap(Secret, ({ word }) => Effect.map(word, (word) => text + word))),
            Secret,
            { word: secret }
          )
          assert.strictEqual(yield* memo("a"), "as3cret")
        })
      )
    })

    describe("values", () => {
      test(
        "undefined, null and void",
        Effect.gen(function*() {
          yield* comesBack("undefined", Schema.Undefined, undefined)
          yield* comesBack("void", Schema.Void, undefined)
          yield* comesBack("null", Schema.Null, null)
          yield* comesBack("undefined or", Schema.UndefinedOr(Schema.String), undefined)
          yield* comesBack("null or", Schema.NullOr(Schema.String), null)
          yield* comesBack("false", Schema.Boolean, false)
          yield* comesBack("empty", Schema.String, "")
          yield* comesBack("zero", Schema.Number, 0)
        })
      )

      test(
        "Option, class, Date, bigint, bytes, map, numbers that JSON has not",
        Effect.gen(function*() {
          const optional = Schema.Option(Schema.String)
          yield* comesBack("none", optional, Option.none())
          yield* comesBack("some", optional, Option.some(""))
          yield* comesBack(
            "class",
            User,
            new User({ born: new Date(0), id: 1, name: Option.none() })
          )
          yield* comesBack("date", Schema.Date, new Date(123))
          yield* comesBack("bigint", Schema.BigInt, 2n ** 80n)
          yield* comesBack("bytes", Schema.Uint8Array, new Uint8Array([0, 255]))
          yield* comesBack(
            "map",
            Schema.Map({ key: Schema.Number, value: Schema.String }),
            new Map([[1, "a"]])
          )
          yield* comesBack(
            "exit",
            Schema.Exit({ defect: Schema.Defect, failure: Schema.String, success: Schema.Void }),
            Exit.fail("no")
          )
          yield* comesBack("json number", Schema.JsonNumber, 1.5)
          yield* comesBack("msgpack NaN", Schema.Number, Number.NaN, { codec: Codec.msgpack })
        })
      )

      test(
        "text that is nasty",
        Effect.gen(function*() {
          for (
            const text of ["\0", "\uFEFF", "\u{1F600}", "\u2028", "__proto__", "e\u0301", "{\"_tag\":\"Failure\"}"]
          ) {
            yield* comesBack(`text ${JSON.stringify(text)}`, Schema.String, text)
          }
          yield* comesBack(
            "members",
            Schema.Record({ key: Schema.String, value: Schema.Unknown }),
            { _tag: "Failure", constructor: 2, hasOwnProperty: 1, toJSON: 3 }
          )
        })
      )

      test(
        "large ones, of several megabytes",
        Effect.gen(function*() {
          yield* comesBack("large text", Schema.String, "änd so on ".repeat(400_000))
          yield* comesBack(
            "large bytes",
            Schema.Uint8ArrayFromSelf,
            new Uint8Array(3_000_000).map((_, i) => i * 31),
            { codec: Codec.msgpack }
          )
        })
      )

      test(
        "with a binary codec, compressed and encrypted",
        Effect.gen(function*() {
          const user = new User({ born: new Date(0), id: 1, name: Option.some("Ada".repeat(500)) })
          yield* comesBack("binary", User, user, { codec: Codec.msgpack })
          yield* comesBack("compressed", User, user, { codec: (schema) => Codec.compressed(Codec.json(schema)) })
          yield* comesBack("encrypted", User, user, {
            codec: (schema) => Codec.encrypted(Codec.msgpack(schema), Redacted.make(new Uint8Array(32).fill(7)))
          })
          const [entry] = yield* Effect.flatMap(keyspaceOf("encrypted"), (keyspace) => keyspace.take({}, 1))
          assert(entry?.value instanceof Uint8Array)
          assert.notInclude(new TextDecoder("latin1").decode(entry.value), "Ada")
        })
      )

      test(
        "failures and undefined with every codec",
        Effect.gen(function*() {
          const codecs: ReadonlyArray<
            [string, Memoize.CommonOptions<readonly [], unknown, never, never, never, never>["codec"]]
          > = [
            ["json", undefined],
            ["msgpack", Codec.msgpack],
            ["compressed", (schema) => Codec.compressed(Codec.json(schema))]
          ]
          for (const [name, codec] of codecs) {
            yield* comesBack(name, Schema.UndefinedOr(Schema.Number), undefined, { codec })
            let calls = 0
            const failing = yield* Memoize.make({
              args: Schema.Tuple(),
              codec,
              failure: NotFound,
              name: `failing ${name}`,
              success: Schema.Void,
              timeToLive: 1000
            }, () => Effect.suspend(() => (calls++, Effect.fail(new NotFound({ id: "1" })))))
            deepStrictEqual(yield* Effect.flip(failing()), new NotFound({ id: "1" }))
            deepStrictEqual(yield* Effect.flip(failing()), new NotFound({ id: "1" }))
            assert.strictEqual(calls, 1)
          }
        })
      )
    })

    describe("failures", () => {
      const make = <E>(answer: (call: number) => Effect.Effect<string, E>) => {
        let calls = 0
        return Effect.map(
          Memoize.make({
            args: Schema.Tuple(Schema.String),
            failure: NotFound,
            name: "failing",
            success: Schema.String,
            timeToLive: "1 minute"
          }, () => Effect.suspend(() => answer(++calls))),
          (memo) => ({ calls: () => calls, memo })
        )
      }

      test(
        "typed failures are stored if there is a schema for them",
        Effect.gen(function*() {
          const { calls, memo } = yield* make(() => Effect.fail(new NotFound({ id: "1" })))
          for (let i = 0; i < 3; i++) {
            deepStrictEqual(yield* Effect.exit(memo("a")), Exit.fail(new NotFound({ id: "1" })))
          }
          assert.strictEqual(calls(), 1)
          const peeked = Option.getOrThrow(yield* memo.peek("a"))
          deepStrictEqual(peeked.exit, Exit.fail(new NotFound({ id: "1" })))
          yield* TestClock.adjust("1 minute")
          yield* Effect.flip(memo("a"))
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "without a schema they are not stored",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting(
            {},
            (call) => call < 3 ? Effect.fail(new NotFound({ id: `${call}` })) : Effect.succeed(call)
          )
          deepStrictEqual(yield* Effect.flip(memo("a")), new NotFound({ id: "1" }))
          deepStrictEqual(yield* Effect.flip(memo("a")), new NotFound({ id: "2" }))
          assert.strictEqual(yield* stored(), 0)
          assert.strictEqual(yield* memo("a"), 3)
          assert.strictEqual(yield* memo("a"), 3)
          assert.strictEqual(calls(), 3)
        })
      )

      test(
        "failures outside the schema are not stored, and are the same as without it",
        Effect.gen(function*() {
          const failures = [new Broken({ at: new Date(1) }), "text", undefined, new Error("no"), {
            _tag: "NotFound",
            id: 1
          }]
          for (const failure of failures) {
            const { calls, memo } = yield* make(() => Effect.fail(failure))
            const first = yield* Effect.flip(memo("a"))
            assert.isTrue(first === failure)
            yield* Effect.flip(memo("a"))
            assert.strictEqual(calls(), 2)
          }
          assert.strictEqual(yield* stored("failing"), 0)
        })
      )

      test(
        "defects are not stored",
        Effect.gen(function*() {
          const { memo } = yield* make((call) => call === 1 ? Effect.die("boom") : Effect.succeed("v"))
          deepStrictEqual(yield* Effect.exit(memo("a")), Exit.die("boom"))
          assert.strictEqual(yield* memo("a"), "v")
        })
      )

      test(
        "what a function throws when it is called is a defect, and not stored",
        Effect.gen(function*() {
          let calls = 0
          const memo = yield* Memoize.make(
            { args: Schema.Tuple(), name: "throws", success: Schema.Number, timeToLive: 1000 },
            () => {
              if (++calls === 1) throw new Error("boom")
              return Effect.succeed(calls)
            }
          )
          const exit = yield* Effect.exit(memo())
          assert(Exit.isFailure(exit) && Cause.isDie(exit.cause))
          assert.strictEqual(yield* memo(), 2)
        })
      )

      test(
        "a failure with a defect or an interruption beside it is not stored",
        Effect.gen(function*() {
          const notFound = Cause.fail(new NotFound({ id: "1" }))
          const causes = [
            Cause.parallel(notFound, Cause.die("boom")),
            Cause.sequential(notFound, Cause.die("boom"))
          ]
          for (const cause of causes) {
            const { calls, memo } = yield* make(() => Effect.failCause(cause))
            const exit = yield* Effect.exit(memo("a"))
            assert(Exit.isFailure(exit))
            deepStrictEqual(Array.from(Cause.defects(exit.cause)), ["boom"])
            yield* Effect.exit(memo("a"))
            assert.strictEqual(calls(), 2)
          }
          assert.strictEqual(yield* stored("failing"), 0)
        })
      )

      test(
        "a function that interrupts itself interrupts the call, and nothing is stored",
        Effect.gen(function*() {
          const { calls, memo } = yield* make((call) => call === 1 ? Effect.interrupt : Effect.succeed("v"))
          const exit = yield* Effect.exit(memo("a"))
          assert(Exit.isFailure(exit) && Cause.isInterrupted(exit.cause))
          assert.strictEqual(yield* memo("a"), "v")
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "a success follows a stored failure, and the other way round",
        Effect.gen(function*() {
          const { memo } = yield* make((call) =>
            call === 2 ? Effect.succeed("v") : Effect.fail(new NotFound({ id: `${call}` }))
          )
          yield* Effect.flip(memo("a"))
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(yield* memo("a"), "v")
          yield* TestClock.adjust("1 minute")
          deepStrictEqual(yield* Effect.flip(memo("a")), new NotFound({ id: "3" }))
          deepStrictEqual(yield* Effect.flip(memo("a")), new NotFound({ id: "3" }))
        })
      )

      test(
        "an answer that does not fit its schema is answered, and not stored",
        Effect.gen(function*() {
          const { calls, memo } = yield* counting({}, () => Effect.succeed("text" as never))
          assert.strictEqual<unknown>(yield* memo("a"), "text")
          assert.strictEqual<unknown>(yield* memo("a"), "text")
          assert.strictEqual(calls(), 2)
          assert.strictEqual(yield* stored(), 0)
        })
      )

      test(
        "arguments that do not fit their schema go to the function, and nothing is stored",
        Effect.gen(function*() {
          const { called, memo } = yield* counting()
          assert.strictEqual(yield* memo(1 as never), 1)
          assert.strictEqual(yield* memo(1 as never), 2)
          deepStrictEqual<unknown>(called, [1, 1])
          assert.strictEqual(yield* stored(), 0)
          assert.instanceOf(yield* Effect.flip(memo.peek(1 as never)), Codec.CodecError)
          assert.instanceOf(yield* Effect.flip(memo.keyOf(1 as never)), Codec.CodecError)
          assert.instanceOf(yield* Effect.flip(memo.invalidate(1 as never)), Codec.CodecError)
          assert.instanceOf(yield* Effect.flip(memo.softInvalidate(1 as never)), Codec.CodecError)
        })
      )
    })

    describe("timeToLive", () => {
      test(
        "is how long an answer is fresh, exactly",
        Effect.gen(function*() {
          const { memo } = yield* counting({ timeToLive: 1000 })
          assert.strictEqual(yield* memo("a"), 1)
          yield* TestClock.setTime(start + 999)
          assert.strictEqual(yield* memo("a"), 1)
          yield* TestClock.setTime(start + 1000)
          assert.strictEqual(yield* memo("a"), 2)
        })
      )

      test(
        "begins when the function has answered",
        Effect.gen(function*() {
          const { memo } = yield* counting({ timeToLive: 1000 }, (call) => Effect.as(TestClock.adjust(800), call))
          assert.strictEqual(yield* memo("a"), 1)
          yield* TestClock.adjust(999)
          assert.strictEqual(yield* memo("a"), 1)
        })
      )

      test(
        "may be a function of the exit and the arguments",
        Effect.gen(function*() {
          const seen: Array<unknown> = []
          const memo = yield* Memoize.make({
            args: Schema.Tuple(Schema.String, Schema.Number),
            failure: NotFound,
            name: "function of",
            success: Schema.Date,
            timeToLive: (exit, args) => {
              seen.push([exit, args])
              return Exit.isSuccess(exit) ? "10 seconds" : "1 second"
            }
          }, (id, n) => n < 0 ? Effect.fail(new NotFound({ id })) : Effect.succeed(new Date(n)))
          yield* memo("a", 1)
          yield* Effect.flip(memo("b", -1))
          deepStrictEqual(seen, [
            [Exit.succeed(new Date(1)), ["a", 1]],
            [Exit.fail(new NotFound({ id: "b" })), ["b", -1]]
          ])
          yield* TestClock.adjust(999)
          yield* memo("a", 1)
          yield* Effect.flip(memo("b", -1))
          assert.strictEqual(seen.length, 2)
          yield* TestClock.adjust(1)
          yield* memo("a", 1)
          yield* Effect.flip(memo("b", -1))
          assert.strictEqual(seen.length, 3)
          yield* TestClock.adjust(9000)
          yield* memo("a", 1)
          assert.strictEqual(seen.length, 4)
        })
      )

      test(
        "zero or less means do not store",
        Effect.gen(function*() {
          for (const timeToLive of [0, "0 seconds", -1, Duration.zero, () => 0, () => -5] as const) {
            const { calls, memo } = yield* counting({ timeToLive })
            yield* memo("a")
            yield* memo("a")
            assert.strictEqual(calls(), 2)
            assert.strictEqual(yield* stored(), 0)
          }
        })
      )

      test(
        "a fresh answer is not removed by one that is not stored",
        Effect.gen(function*() {
          let lives: Duration.DurationInput = "1 minute"
          const { memo } = yield* counting({ timeToLive: () => lives })
          yield* memo("a")
          lives = 0
          assert.strictEqual(yield* memo("a"), 1)
        })
      )

      test(
        "infinite means no expiry",
        Effect.gen(function*() {
          for (const [i, timeToLive] of ([Infinity, Duration.infinity, () => Infinity] as const).entries()) {
            const name = `infinite ${i}`
            const { calls, memo } = yield* counting({ name, timeToLive })
            yield* memo("a")
            yield* TestClock.adjust("36500 days")
            yield* memo("a")
            assert.strictEqual(calls(), 1)
            const peeked = Option.getOrThrow(yield* memo.peek("a"))
            deepStrictEqual(peeked.timeToLive, Duration.infinity)
            const keyspace = yield* keyspaceOf(name)
            const entry = Option.getOrThrow(yield* keyspace.head(yield* memo.keyOf("a")))
            assert.isUndefined(entry.expiresAt)
          }
        })
      )

      test(
        "what is expired is not kept for nothing",
        Effect.gen(function*() {
          const { memo } = yield* counting({ timeToLive: 1000 })
          yield* memo("a")
          yield* TestClock.adjust(1000)
          assert.strictEqual(yield* stored(), 0)
        })
      )

      test(
        "what is no duration is an error when the function is made",
        Effect.gen(function*() {
          for (const timeToLive of [Number.NaN, "nonsense" as never, {} as never]) {
            const error = yield* Effect.flip(counting({ timeToLive }))
            assert.instanceOf(error, StorageError.StorageError)
            assert.strictEqual(error.reason, "InvalidValue")
            assert.include(error.message, "timeToLive")
          }
        })
      )

      test(
        "a function that throws, or answers what is no duration, does not break the call",
        Effect.gen(function*() {
          const all = [
            () => {
              throw new Error("boom")
            },
            () => Number.NaN,
            () => "nonsense" as never,
            () => undefined as never
          ]
          for (const timeToLive of all) {
            const { calls, memo } = yield* counting({ timeToLive })
            assert.strictEqual(yield* memo("a"), 1)
            assert.strictEqual(yield* memo("a"), 2)
            assert.strictEqual(calls(), 2)
            assert.strictEqual(yield* stored(), 0)
          }
        })
      )
    })
  })
