/** How KtCompat writes values: serializers, and the raw formats of containers. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Codec, KtCompat } from "effect-kv"
import { key } from "../codecs.js"
import { describeOn, type Engine } from "../engines.js"
import { bytes, collect, databases, failsWith, hex, ktError, latin1, testOn, unhex } from "../ktCompat.js"

const none = Option.none()
const some = Option.some

const User = Schema.Struct({ born: Schema.Date, name: Schema.String })
const ada = { born: new Date("1815-12-10"), name: "Ada" }

class Secret extends Context.Tag("test/Secret")<Secret, string>() {}
/** Text that is stored after a word of the context. */
const Marked = Schema.transformOrFail(Schema.String, Schema.String, {
  decode: (text) => Effect.map(Secret, (secret) => text.slice(secret.length)),
  encode: (text) => Effect.map(Secret, (secret) => secret + text),
  strict: true
})

class Users extends KtCompat.Tag<Users>()("test/Users", { value: User }) {}
class OtherUsers extends KtCompat.Tag<OtherUsers>()("test/OtherUsers", { db: "b", value: Codec.msgpack(User) }) {}
class Marks extends KtCompat.Tag<Marks>()("test/Marks", { value: Marked }) {}

/** Lengths at which a number of seven bits a byte gets longer, and their bytes. */
const lengths: ReadonlyArray<readonly [number, string]> = [
  [0, "00"],
  [1, "01"],
  [127, "7f"],
  [128, "8100"],
  [300, "822c"],
  [16_383, "ff7f"],
  [16_384, "818000"],
  [2_097_151, "ffff7f"],
  [2_097_152, "81808000"]
]

const cutDicts = [
  "01",
  "0101",
  "010161",
  "02016162",
  "81",
  "0481",
  "ff",
  "ffffffffffffffffff",
  "0304666f6f62617a",
  "00"
]
const cutLists = ["01", "0261", "81", "0161ff", "ffffffffffffffff7f", "03666f"]

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat values", () => {
    const test = testOn(engine)

    describe("serializers", () => {
      test("U1: binary is text in UTF-8", (kt) =>
        Effect.gen(function*() {
          const texts = kt.withValues(KtCompat.binary)
          for (const text of ["", "abc", "é日😀", "\0", "\ufeffx", "null"]) {
            yield* texts.set("k", text)
            deepStrictEqual(yield* kt.get("k"), some(text))
            deepStrictEqual(yield* kt.getBytes("k"), some(bytes(text)))
          }
          yield* failsWith(texts.set("k", "\ud800"), "CodecError")
          // As a program without types would give it.
          yield* failsWith(texts.set("k", 1 as unknown as string), "CodecError")
          deepStrictEqual(yield* kt.get("k"), some("null"))
        }))

      test("U2, U20: json is compact and sorted; null is a value", (kt) =>
        Effect.gen(function*() {
          const json = kt.withValues(KtCompat.json)
          const values: ReadonlyArray<readonly [unknown, string]> = [
            [{ b: [1, "é"], a: null }, "{\"a\":null,\"b\":[1,\"é\"]}"],
            [null, "null"],
            [false, "false"],
            [0, "0"],
            ["", "\"\""],
            [[], "[]"]
          ]
          for (const [value, stored] of values) {
            yield* json.set("k", value)
            deepStrictEqual(yield* kt.get("k"), some(stored))
            deepStrictEqual(yield* json.get("k"), some(value))
          }
          yield* failsWith(json.set("k", 1n), "CodecError")
          yield* failsWith(json.set("k", NaN), "CodecError")
          yield* json.set("k", undefined)
          deepStrictEqual(yield* json.get("k"), some(undefined), "which is stored as nothing")
          deepStrictEqual(yield* json.get("absent"), none)
          yield* kt.set("k", "{")
          yield* failsWith(json.get("k"), "CodecError")
          yield* kt.setBytes("k", unhex("22ff22"))
          yield* failsWith(json.get("k"), "CodecError")
        }))

      test("U3: msgpack", (kt) =>
        Effect.gen(function*() {
          const msgpack = kt.withValues(KtCompat.msgpack)
          const value = { a: 1, b: ["x", null, true], c: { d: 1.5 } }
          yield* msgpack.set("k", value)
          deepStrictEqual(yield* msgpack.get("k"), some(value))
          const written: ReadonlyArray<readonly [unknown, string]> = [
            [1, "01"],
            [-1, "ff"],
            ["foo", "a3666f6f"],
            [[1, null, true], "9301c0c3"],
            [{ a: 1 }, "81a16101"]
          ]
          for (const [value, stored] of written) {
            yield* msgpack.set("k", value)
            assert.strictEqual(hex(Option.getOrThrow(yield* kt.getBytes("k"))), stored)
          }
          // As msgpack in other languages writes them: float 64, str 8, bin 8, uint 64.
          for (
            const [stored, value] of [
              ["cb3ff8000000000000", 1.5],
              ["d903666f6f", "foo"],
              ["c40200ff", unhex("00ff")],
              ["de0001a16101", { a: 1 }]
            ] as const
          ) {
            yield* kt.setBytes("k", unhex(stored))
            const read = Option.getOrThrow(yield* msgpack.get("k"))
            deepStrictEqual(read instanceof Uint8Array ? new Uint8Array(read) : read, value)
          }
          yield* kt.setBytes("k", unhex("93"))
          yield* failsWith(msgpack.get("k"), "CodecError")
          yield* kt.setBytes("k", new Uint8Array(0))
          yield* failsWith(msgpack.get("k"), "CodecError")
        }))

      test("U4: none is bytes as they are", (kt) =>
        Effect.gen(function*() {
          const raw = kt.withValues(KtCompat.none)
          const value = Uint8Array.from({ length: 256 }, (_, i) => 255 - i)
          yield* raw.set("k", value)
          deepStrictEqual(yield* raw.get("k"), some(value))
          deepStrictEqual(yield* raw.getBulk(["k"]), new Map([["k", value]]))
          deepStrictEqual(yield* collect(raw.values()), [value])
          yield* raw.set("k", new Uint8Array(0))
          deepStrictEqual(yield* raw.pop("k"), some(new Uint8Array(0)))
          // As a program without types would give it.
          yield* failsWith(raw.set("k", "text" as unknown as Uint8Array), "CodecError")
          yield* failsWith(kt.setBytes("k", "text" as unknown as Uint8Array), "CodecError")
          assert.isFalse(yield* kt.exists("k"))
        }))

      test("U6: any Schema is JSON; any Codec is itself", (kt) =>
        Effect.gen(function*() {
          const users = yield* KtCompat.make({ value: User })
          yield* users.set("ada", ada)
          deepStrictEqual(yield* kt.get("ada"), some("{\"born\":\"1815-12-10T00:00:00.000Z\",\"name\":\"Ada\"}"))
          deepStrictEqual(yield* users.get("ada"), some(ada))
          deepStrictEqual(yield* users.getBulk(["ada", "bob"]), new Map([["ada", ada]]))
          deepStrictEqual(yield* collect(users.items()), [["ada", ada]])
          yield* kt.set("bob", "{\"name\":\"Bob\"}")
          yield* failsWith(users.get("bob"), "CodecError")
          yield* failsWith(users.pop("bob"), "CodecError")
          assert.isTrue(yield* kt.exists("bob"))
          assert.isTrue(yield* users.cas("ada", some(ada), some({ ...ada, name: "A." })))
          const numbers = kt.withValues(Schema.NumberFromString)
          yield* numbers.set("n", 12)
          deepStrictEqual(yield* kt.get("n"), some("\"12\""))
        }))

      test("U6: a codec that encrypts is bound to the key of its record", (kt) =>
        Effect.gen(function*() {
          const sealed = kt.withValues(Codec.encrypted(Codec.json(User), key(1)))
          yield* sealed.setBulk({ a: ada, b: { ...ada, name: "B." } })
          deepStrictEqual(yield* sealed.get("a"), some(ada))
          deepStrictEqual(Option.map(yield* sealed.pop("b"), ({ name }) => name), some("B."))
          const stored = Option.getOrThrow(yield* kt.getBytes("a"))
          assert.notInclude(latin1(stored), "Ada")
          yield* kt.setBytes("moved", stored)
          yield* failsWith(sealed.get("moved"), "CodecError")
          yield* kt.setBytes("a", stored, { db: 1 })
          deepStrictEqual(yield* sealed.get("a", { db: 1 }), some(ada))
          yield* kt.setBytes("a", stored.map((byte, i) => i === 20 ? byte ^ 1 : byte))
          yield* failsWith(sealed.get("a"), "CodecError")
        }))

      test("withValues is another view of the same records", (kt) =>
        Effect.gen(function*() {
          yield* kt.set("k", "[1]")
          deepStrictEqual(yield* kt.withValues(KtCompat.json).get("k"), some([1]))
          deepStrictEqual(yield* kt.withValues(Schema.Array(Schema.Number)).get("k"), some([1]))
          deepStrictEqual(yield* kt.withValues(KtCompat.none).get("k"), some(bytes("[1]")))
          deepStrictEqual(yield* kt.setDatabase(1).withValues(KtCompat.json).get("k"), none)
          deepStrictEqual(yield* kt.get("k"), some("[1]"))
        }))
    })

    describe("clients as services", () => {
      const layers = Layer.provideMerge(
        Layer.mergeAll(
          Users.layer,
          OtherUsers.layer,
          KtCompat.layer({ db: 1 }),
          Layer.provide(Marks.layer, Layer.succeed(Secret, "psst "))
        ),
        databases(engine)
      )

      it.effect("U6: a Tag has its values, its database and what its schema needs", () =>
        Effect.gen(function*() {
          const [users, others, marks] = [yield* Users, yield* OtherUsers, yield* Marks]
          const plain = yield* KtCompat.KtCompat
          yield* users.set("k", ada)
          deepStrictEqual(yield* others.get("k"), none)
          yield* others.set("k", { ...ada, name: "B." })
          deepStrictEqual(yield* users.get("k"), some(ada))
          deepStrictEqual(yield* plain.length("k"), yield* others.length("k"))
          yield* marks.set("m", "text")
          deepStrictEqual(yield* plain.get("m", { db: 0 }), some("\"psst text\""))
          deepStrictEqual(yield* marks.get("m"), some("text"))
          yield* marks.List("l").extend(["a", "b"])
          deepStrictEqual(yield* marks.List("l").getRange(), ["a", "b"])
        }).pipe(Effect.provide(layers)))

      it.effect("layerMemory is a database of its own each time it is built", () =>
        Effect.gen(function*() {
          const first = yield* Effect.provide(
            Effect.flatMap(KtCompat.KtCompat, (kt) => Effect.zipRight(kt.set("k", "1"), kt.count())),
            KtCompat.layerMemory
          )
          const second = yield* Effect.provide(
            Effect.flatMap(KtCompat.KtCompat, (kt) => kt.count()),
            KtCompat.layerMemory
          )
          deepStrictEqual([first, second], [1, 0])
          const both = Layer.merge(Users.layerMemory, KtCompat.layerMemory)
          yield* Effect.gen(function*() {
            yield* (yield* Users).set("k", ada)
            assert.strictEqual(yield* (yield* KtCompat.KtCompat).count(), 0)
            assert.strictEqual(yield* (yield* Users).count(), 1)
          }).pipe(Effect.provide(both))
          yield* Effect.provide(
            Effect.flatMap(Marks, (marks) => marks.set("k", "v")),
            Layer.provide(Marks.layerMemory, Layer.succeed(Secret, "s"))
          )
        }))
    })

    describe("U12: serializeDict and deserializeDict", () => {
      test("golden vectors", (kt) =>
        Effect.gen(function*() {
          assert.strictEqual(hex(yield* kt.serializeDict({})), "")
          assert.strictEqual(hex(yield* kt.serializeDict({ foo: "baze" })), "0304666f6f62617a65")
          assert.strictEqual(
            hex(yield* kt.serializeDict([["b", ""], ["", "x"]])),
            "010062" + "000178"
          )
          assert.strictEqual(hex(yield* kt.serializeDict(new Map([["é", "日"]]))), "0203c3a9e697a5")
          assert.strictEqual(
            hex(yield* kt.withValues(KtCompat.json).serializeDict({ a: [1, 2] })),
            "0105615b312c325d"
          )
          assert.strictEqual(hex(yield* kt.withValues(KtCompat.none).serializeDict({ a: unhex("00ff") })), "01026100ff")
          deepStrictEqual(yield* kt.deserializeDict(unhex("")), new Map())
          deepStrictEqual(yield* kt.deserializeDict(unhex("0304666f6f62617a65")), new Map([["foo", "baze"]]))
          deepStrictEqual(yield* kt.deserializeDict(unhex("0000")), new Map([["", ""]]))
          deepStrictEqual(yield* kt.deserializeDict(unhex("0101 6131 0101 6132")), new Map([["a", "2"]]))
        }))

      test("lengths of one byte and more", (kt) =>
        Effect.gen(function*() {
          for (const [length, digits] of lengths) {
            const text = "x".repeat(length)
            const byValue = yield* kt.serializeDict({ k: text })
            assert.strictEqual(hex(byValue.slice(0, 1 + digits.length / 2)), `01${digits}`)
            deepStrictEqual(yield* kt.deserializeDict(byValue), new Map([["k", text]]))
            const byName = yield* kt.serializeDict({ [text]: "v" })
            assert.strictEqual(hex(byName.slice(0, 1 + digits.length / 2)), `${digits}01`)
            deepStrictEqual(yield* kt.deserializeDict(byName), new Map([[text, "v"]]))
          }
        }))

      test("what is no dict is CorruptContainer; what cannot be decoded is CodecError", (kt) =>
        Effect.gen(function*() {
          for (const digits of cutDicts) {
            yield* ktError(kt.deserializeDict(unhex(digits)), "CorruptContainer")
          }
          yield* failsWith(kt.deserializeDict(unhex("0101ff61")), "CodecError")
          yield* failsWith(kt.deserializeDict(unhex("010161ff")), "CodecError")
          yield* failsWith(kt.withValues(KtCompat.json).deserializeDict(unhex("01016161")), "CodecError")
          yield* failsWith(kt.withValues(KtCompat.json).serializeDict({ a: 1n }), "CodecError")
        }))
    })

    describe("U13: serializeList and deserializeList", () => {
      test("golden vectors", (kt) =>
        Effect.gen(function*() {
          assert.strictEqual(hex(yield* kt.serializeList([])), "")
          assert.strictEqual(hex(yield* kt.serializeList(["", "foo", ""])), "0003666f6f00")
          assert.strictEqual(hex(yield* kt.withValues(KtCompat.msgpack).serializeList([1, "a"])), "010102a161")
          deepStrictEqual(yield* kt.deserializeList(unhex("")), [])
          deepStrictEqual(yield* kt.deserializeList(unhex("0003666f6f00")), ["", "foo", ""])
          deepStrictEqual(yield* kt.deserializeList(yield* kt.serializeList(new Set(["é", "😀"]))), ["é", "😀"])
        }))

      test("lengths of one byte and more", (kt) =>
        Effect.gen(function*() {
          for (const [length, digits] of lengths) {
            const values = ["x".repeat(length), "y"]
            const written = yield* kt.serializeList(values)
            assert.strictEqual(hex(written.slice(0, digits.length / 2)), digits)
            assert.strictEqual(hex(written.slice(-2)), "0179")
            deepStrictEqual(yield* kt.deserializeList(written), values)
          }
        }))

      test("what is no list is CorruptContainer; what cannot be decoded is CodecError", (kt) =>
        Effect.gen(function*() {
          for (const digits of cutLists) {
            yield* ktError(kt.deserializeList(unhex(digits)), "CorruptContainer")
          }
          yield* failsWith(kt.deserializeList(unhex("01ff")), "CodecError")
          yield* failsWith(kt.serializeList(["\ud800"]), "CodecError")
        }))
    })

    test("U12, U13: they are what containers have in their records", (kt) =>
      Effect.gen(function*() {
        yield* kt.Hash("h").setBulk({ foo: "baze" })
        yield* kt.List("l").extend(["", "foo", ""])
        deepStrictEqual(yield* kt.getBytes("h"), some(yield* kt.serializeDict({ foo: "baze" })))
        deepStrictEqual(yield* kt.getBytes("l"), some(yield* kt.serializeList(["", "foo", ""])))
        yield* kt.setBytes("h2", yield* kt.serializeDict({ a: "1", b: "2" }))
        deepStrictEqual(yield* kt.Hash("h2").getAll, new Map([["a", "1"], ["b", "2"]]))
      }))
  })
