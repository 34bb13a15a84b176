import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, FastCheck as fc, Layer, Option, Redacted, Schema } from "effect"
import { Codec, KeyValueStore } from "effect-kv"
import { inspect } from "node:util"
import { again, at, bytes, bytesOf, done, flipped, key, readOrRefused, refused, text, value } from "./codecs.js"
import { memory, sqliteFile } from "./engines.js"

const old = key(1)
const current = key(2)
const raw = Codec.encrypted(Codec.raw, old)

/** All of an error that a log could show. */
const shown = (error: unknown): string => inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error)

describe("Codec.encrypted", () => {
  it("gives back text as text and bytes as bytes, at once", () =>
    fc.assert(fc.property(value, text, text, (value, key, keyspace) => {
      const stored = bytesOf(done(raw.encode(value, { key, keyspace })))
      assert.strictEqual(stored.length, Buffer.byteLength(value) + 33)
      const read = done(raw.decode(stored, { key, keyspace }))
      deepStrictEqual(typeof read === "string" ? read : bytesOf(read), value)
    })))

  it("composes with every codec, in any order", () => {
    const members = Schema.Record({ key: Schema.String, value: Schema.String })
    const kept = text.filter((text) => !text.startsWith("\ufeff") && text !== "__proto__")
    const values = fc.dictionary(kept, kept, { noNullPrototype: true })
    const ways: ReadonlyArray<<A>(codec: Codec.Codec<A>) => Codec.Codec<A>> = [
      (codec) => Codec.encrypted(codec, old),
      (codec) => Codec.encrypted(Codec.compressed(codec), old),
      (codec) => Codec.compressed(Codec.encrypted(codec, old)),
      (codec) => Codec.encrypted(Codec.encrypted(codec, old), current),
      (codec) => Codec.compressed(Codec.compressed(codec))
    ]
    for (const way of ways) {
      const json = way(Codec.json(members))
      const msgpack = way(Codec.msgpack(members))
      const dates = way(Codec.msgpack(Schema.Array(Schema.DateFromSelf)))
      fc.assert(
        fc.property(values, text, bytes, fc.array(fc.date({ noInvalidDate: true })), (value, text, bytes, list) => {
          deepStrictEqual(again(json, value), value)
          deepStrictEqual(again(msgpack, value), value)
          deepStrictEqual(again(dates, list), list)
          deepStrictEqual(again(way(Codec.text), text), text)
          deepStrictEqual(again(way(Codec.bytes), bytes), bytes)
        }),
        { numRuns: 30 }
      )
    }
  })

  it("shows nothing of the text, and never the same twice", () => {
    const stored = Array.from({ length: 500 }, () => Buffer.from(bytesOf(done(raw.encode("a plain text", at)))))
    assert.isFalse(stored.some((bytes) => bytes.includes("plain")))
    assert.strictEqual(new Set(stored.map((bytes) => bytes.toString("hex", 5, 17))).size, 500)
    assert.strictEqual(new Set(stored.map((bytes) => bytes.toString("hex", 17))).size, 500)
  })

  it("takes keys in every form", () => {
    const secret = Uint8Array.from({ length: 32 }, (_, i) => 255 - i * 5)
    const buffer = Buffer.from(secret)
    const stored = done(Codec.encrypted(Codec.text, Redacted.make(secret)).encode("text", at))
    const forms = [
      buffer.toString("hex"),
      buffer.toString("hex").toUpperCase(),
      buffer.toString("base64"),
      buffer.toString("base64").replace("=", ""),
      buffer.toString("base64url"),
      `${buffer.toString("base64url")}=`
    ]
    assert.match(buffer.toString("base64"), /[+/]/)
    for (const form of forms) {
      assert.strictEqual(done(Codec.encrypted(Codec.text, Redacted.make(form)).decode(stored, at)), "text", form)
    }
    assert.strictEqual(done(Codec.encrypted(Codec.text, Redacted.make(buffer)).decode(stored, at)), "text")
  })

  it("a key that is not 32 bytes fails every use, and is not shown", () => {
    const wrong: ReadonlyArray<string | Uint8Array> = [
      "",
      "hunter2-is-the-pass",
      "5".repeat(63),
      "5".repeat(65),
      "5".repeat(64) + "\n",
      "g".repeat(64),
      "A".repeat(42),
      "A".repeat(44),
      " ".repeat(43),
      new Uint8Array(),
      new Uint8Array(16).fill(77),
      new Uint8Array(33).fill(77)
    ]
    const stored = done(Codec.encrypted(Codec.text, old).encode("text", at))
    for (const secret of wrong) {
      const single = Codec.encrypted(Codec.text, Redacted.make(secret) as Codec.EncryptionKey)
      const second = Codec.encrypted(Codec.text, [old, Redacted.make(secret) as Codec.EncryptionKey])
      for (
        const [error, words] of [
          [refused(single.encode("text", at)), "the key is not 32 bytes"],
          [refused(single.decode(stored, at)), "the key is not 32 bytes"],
          [refused(second.encode("text", at)), "key 2 of 2 is not 32 bytes"],
          [refused(second.decode(stored, at)), "key 2 of 2 is not 32 bytes"]
        ] as const
      ) {
        assert.include(error.message, words)
        if (secret.length > 10) {
          assert.notInclude(shown(error), typeof secret === "string" ? secret : "77")
        }
      }
    }
    const wiped = Redacted.make("5".repeat(64))
    Redacted.unsafeWipe(wiped)
    assert.include(refused(Codec.encrypted(Codec.text, wiped).encode("text", at)).message, "not 32 bytes")
    // @ts-expect-error there must be one
    assert.include(refused(Codec.encrypted(Codec.text, []).encode("text", at)).message, "no key is given")
  })

  it("refuses every changed byte and every truncation", () => {
    for (const value of ["some text", new Uint8Array([1, 2, 3])]) {
      const stored = bytesOf(done(raw.encode(value, at)))
      for (let i = 0; i < stored.length; i++) {
        for (const mask of [1, 2, 4, 8, 16, 32, 64, 128, 3, 255]) {
          refused(raw.decode(flipped(stored, i, mask), at))
        }
      }
      for (let length = 0; length < stored.length; length++) refused(raw.decode(stored.subarray(0, length), at))
      refused(raw.decode(new Uint8Array([...stored, 0]), at))
    }
  })

  it("refuses a value that was moved", () => {
    const stored = done(raw.encode("text", { key: "bc", keyspace: "a" }))
    assert.strictEqual(done(raw.decode(stored, { key: "bc", keyspace: "a" })), "text")
    for (const [keyspace, key] of [["ab", "c"], ["", "abc"], ["a", "bd"], ["b", "bc"], ["a", ""], ["abc", ""]] as const) {
      assert.include(refused(raw.decode(stored, { key, keyspace })).message, "moved or copied from another key")
    }
    // Both would be the same UTF-8.
    const odd = done(raw.encode("text", { key: "\ud800", keyspace: "s" }))
    refused(raw.decode(odd, { key: "\ud801", keyspace: "s" }))
    refused(raw.decode(odd, { key: "\ufffd", keyspace: "s" }))
    assert.isTrue(raw.bindsToKey)
    assert.isTrue(Codec.compressed(raw).bindsToKey)
  })

  it("says what is wrong and what to do", () => {
    const stored = bytesOf(done(raw.encode("text", at)))
    const words = (stored: string | Uint8Array) => refused(raw.decode(stored, at)).detail
    assert.include(words("plain"), "text is stored there, not an encrypted value; if it was written before encryption")
    assert.include(words(new Uint8Array()), "it is empty")
    assert.include(words(flipped(stored, 0, 0x10)), "its format (0xf2) is not known: update effect-kv")
    assert.include(words(stored.subarray(0, 32)), "it is truncated; restore it")
    assert.include(words(stored.subarray(0, 33)), "it is damaged, or was moved")
    assert.include(words(flipped(stored, stored.length - 1, 1)), "it is damaged, or was moved")
    const error = refused(Codec.encrypted(Codec.raw, current).decode(stored, at))
    assert.include(error.detail, "a key that is not given (its id is")
    assert.include(error.detail, Buffer.from(stored.subarray(1, 5)).toString("hex"))
    assert.include(error.detail, "add that key to the list")
  })

  it("rotates keys: the first encrypts, and any decrypts", () => {
    const both = Codec.encrypted(Codec.text, [current, old])
    const before = done(Codec.encrypted(Codec.text, old).encode("text", at))
    const after = done(both.encode("text", at))
    assert.strictEqual(done(both.decode(before, at)), "text")
    assert.strictEqual(done(both.decode(after, at)), "text")
    assert.strictEqual(done(Codec.encrypted(Codec.text, current).decode(after, at)), "text")
    refused(Codec.encrypted(Codec.text, old).decode(after, at))
    refused(Codec.encrypted(Codec.text, current).decode(before, at))
  })

  it("tells keys apart whose ids are the same", () => {
    const numbered = (n: number) => Redacted.make(n.toString(16).padStart(64, "0"))
    const [a, b] = [numbered(63_594), numbered(66_409)]
    const stored = [a, b].map((key) => bytesOf(done(Codec.encrypted(Codec.text, key).encode("text", at))))
    deepStrictEqual(stored[0]!.slice(1, 5), stored[1]!.slice(1, 5))
    for (const bytes of stored) {
      assert.strictEqual(done(Codec.encrypted(Codec.text, [a, b]).decode(bytes, at)), "text")
      assert.strictEqual(done(Codec.encrypted(Codec.text, [b, a]).decode(bytes, at)), "text")
    }
    refused(Codec.encrypted(Codec.text, a).decode(stored[1]!, at))
  })

  it.live("shows nothing of a value that does not fit", () =>
    Effect.gen(function*() {
      const secret = "the-patient-is-ill"
      const Form = Schema.Struct({ n: Schema.Number })
      const json = Codec.encrypted(Codec.json(Form), old)
      const async = Codec.encrypted(
        Codec.json(Schema.transformOrFail(Schema.String, Schema.String, {
          decode: (text) => Effect.delay(Effect.die(new Error(text)), 0),
          encode: (text) => Effect.delay(Effect.die(new Error(text)), 0),
          strict: true
        })),
        old
      )
      const throwing = Codec.encrypted(
        Codec.make<string>({
          decode: (stored) => {
            throw new Error(String(stored))
          },
          encode: (value) => {
            throw new Error(value)
          },
          equivalence: (a, b) => a === b
        }),
        old
      )
      const text = (text: string) => done(Codec.encrypted(Codec.text, old).encode(text, at))
      const errors = [
        // @ts-expect-error it does not fit
        refused(json.encode({ n: secret }, at)),
        refused(json.encode({ n: NaN }, at)),
        refused(json.decode(text(secret), at)),
        refused(json.decode(text(`{"n":"${secret}"}`), at)),
        refused(throwing.encode(secret, at)),
        refused(throwing.decode(text(secret), at)),
        yield* Effect.flip(async.encode(secret, at)),
        yield* Effect.flip(async.decode(text(`"${secret}"`), at))
      ]
      for (const error of errors) {
        assert.instanceOf(error, Codec.CodecError)
        assert.include(error.message, "why is not said")
        assert.notInclude(shown(error), secret)
        assert.notInclude(shown(error), "patient")
        assert.isUndefined(error.cause)
        assert.isUndefined(error.issue)
      }
      assert.notMatch(inspect(json, { depth: 20, showHidden: true }), /0101|01 01|1, 1, 1/)
    }))

  it("keeps equivalence and what the codec within needs", () => {
    class Salt extends Context.Tag("Salt")<Salt, string>() {}
    const salted = Codec.make<string, Salt>({
      decode: (stored) => Effect.map(Salt, (salt) => String(stored).slice(salt.length)),
      encode: (value) => Effect.map(Salt, (salt) => salt + value),
      equivalence: (a, b) => a.length === b.length
    })
    const codec = Codec.encrypted(salted, old)
    assert.isTrue(codec.equivalence("a", "b"))
    const read = Effect.flatMap(codec.encode("value", at), (stored) => codec.decode(stored, at))
    assert.strictEqual(Effect.runSync(Effect.provideService(read, Salt, "salt")), "value")
  })

  it.effect("decodes arbitrary bytes never, and never throws", () =>
    Effect.gen(function*() {
      const stored = bytesOf(done(raw.encode("text", at)))
      for (const rest of fc.sample(fc.uint8Array({ maxLength: 100 }), 500)) {
        assert.isFalse(yield* readOrRefused(raw, rest))
        assert.isFalse(yield* readOrRefused(raw, new Uint8Array([...stored.subarray(0, 5), ...rest])))
      }
    }))
})

const Patient = Schema.Struct({ name: Schema.String, notes: Schema.String, visits: Schema.Int })
class Patients extends KeyValueStore.Tag<Patients>()("Patients", {
  keyspace: "patients",
  value: Codec.encrypted(Codec.compressed(Codec.json(Patient)), [current, old])
}) {}
class Visits extends KeyValueStore.Tag<Visits>()("Visits", {
  keyspace: "visits",
  value: Codec.encrypted(Codec.msgpack(Schema.BigIntFromSelf), old)
}) {}

for (const engine of [memory, sqliteFile]) {
  describe(`a store of encrypted values (${engine.name})`, () => {
    const layer = Layer.provide(Layer.mergeAll(Patients.layer, Visits.layer), engine.layer)

    it.live("reads, writes, and updates atomically", () =>
      Effect.gen(function*() {
        const patients = yield* Patients
        for (const length of [10, 200_000]) {
          const patient = { name: "Ada", notes: "é1".repeat(length), visits: 0 }
          const more = patients.update("ada", (now) => ({ ...now, visits: now.visits + 1 }))
          yield* patients.set("ada", patient)
          yield* Effect.all(Array.from({ length: 10 }, () => more), { concurrency: "unbounded" })
          const now = { ...patient, visits: 10 }
          deepStrictEqual(yield* patients.get("ada"), Option.some(now))
          assert.isFalse(yield* patients.compareAndSet("ada", Option.some(patient), Option.none()))
          assert.isTrue(yield* patients.compareAndSet("ada", Option.some(now), Option.none()))
          assert.isFalse(yield* patients.has("ada"))
        }
        const visits = yield* Visits
        yield* Effect.all(Array.from({ length: 20 }, () => visits.increment("n", 1n)), { concurrency: "unbounded" })
        assert.strictEqual(yield* visits.getOrFail("n"), 20n)
      }).pipe(Effect.provide(layer)))

    it.live("moves a value to another key by writing it anew, small and large", () =>
      Effect.gen(function*() {
        const patients = yield* Patients
        for (const length of [10, 200_000]) {
          const patient = { name: "Ada", notes: "é1".repeat(length), visits: 0 }
          yield* patients.set("ada", patient)
          assert.strictEqual(yield* patients.rename("ada", "lovelace"), "Renamed")
          assert.isFalse(yield* patients.has("ada"))
          deepStrictEqual(yield* patients.get("lovelace"), Option.some(patient))
          yield* patients.set("ada", { ...patient, visits: 1 })
          assert.strictEqual(yield* patients.rename("ada", "lovelace"), "TargetExists")
          deepStrictEqual(yield* patients.get("lovelace"), Option.some(patient))
          assert.strictEqual(yield* patients.rename("ada", "lovelace", { overwrite: true }), "Renamed")
          deepStrictEqual(yield* patients.get("lovelace"), Option.some({ ...patient, visits: 1 }))
          assert.strictEqual(yield* patients.rename("ada", "lovelace"), "SourceMissing")
          yield* patients.remove("lovelace")
        }
      }).pipe(Effect.provide(layer)))
  })
}
