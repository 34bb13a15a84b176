import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, Exit, FastCheck as fc, Layer, Option, Schema } from "effect"
import { Codec, KeyValueStore } from "effect-kv"
import * as zlib from "node:zlib"
import { compress, decompress } from "../src/internal/codec/compression.js"
import { again, at, bytesOf, done, flipped, readOrRefused, refused, value } from "./codecs.js"
import { memory, sqliteFile } from "./engines.js"

const raw = Codec.compressed(Codec.raw)
const json = Codec.compressed(Codec.json(Schema.Unknown))

/** 200,000 bytes that compress well, and as many that do not. */
const large = Array.from({ length: 20_000 }, (_, i) => String(i % 9973).padStart(10)).join("")
const noise = Uint8Array.from({ length: 200_000 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 13)
const many = { depth: [{ large }], left: "é" }
const few = { depth: [], left: "" }

describe("Codec.compressed", () => {
  it("gives back text as text and bytes as bytes, at once", () => {
    fc.assert(fc.property(value, (value) => {
      const stored = bytesOf(done(raw.encode(value, at)))
      const inner = typeof value === "string" ? Buffer.byteLength(value) : value.length
      assert.isAtMost(stored.length, inner + 1)
      const read = done(raw.decode(stored, at))
      deepStrictEqual(typeof read === "string" ? read : bytesOf(read), value)
    }))
    fc.assert(fc.property(fc.jsonValue({ noUnicodeString: true, stringUnit: "grapheme" }), (value) => {
      deepStrictEqual(again(json, value), JSON.parse(JSON.stringify(value)))
    }))
  })

  it("makes what repeats smaller, and what does not no larger than by its header", () => {
    const text = "all work and no play ".repeat(100)
    assert.isBelow(bytesOf(done(raw.encode(text, at))).length, 100)
    assert.isBelow(
      bytesOf(done(Codec.compressed(Codec.raw, { level: 9 }).encode(large.slice(0, 60_000), at))).length,
      bytesOf(done(Codec.compressed(Codec.raw, { level: 1 }).encode(large.slice(0, 60_000), at))).length
    )
    deepStrictEqual(bytesOf(done(raw.encode("hi", at))), new Uint8Array([0xc2, 104, 105]))
    deepStrictEqual(done(raw.encode("", at)), new Uint8Array([0xc2]))
    deepStrictEqual(done(raw.encode(new Uint8Array(), at)), new Uint8Array([0xc1]))
  })

  it.live("leaves what is longer than 64 KiB to other threads, both ways", () =>
    Effect.gen(function*() {
      for (const length of [65_535, 65_536]) {
        deepStrictEqual(again(raw, "x".repeat(length)), "x".repeat(length))
        deepStrictEqual(again(raw, large.slice(0, length)), large.slice(0, length))
      }
      for (const text of ["x".repeat(65_537), large, "é".repeat(40_000)]) {
        const encode = raw.encode(text, at)
        assert.isFalse(Exit.isExit(encode))
        const stored = yield* encode
        assert.isBelow(stored.length, text.length / 2)
        const decode = raw.decode(stored, at)
        assert.isFalse(Exit.isExit(decode))
        assert.strictEqual(yield* decode, text)
      }
      const kept = bytesOf(yield* raw.encode(noise, at))
      const stored = bytesOf(yield* raw.encode(new Uint8Array(noise.buffer.slice(0)), at))
      deepStrictEqual(kept, stored)
      deepStrictEqual(yield* raw.decode(stored, at), noise)
    }))

  it.live("keeps equivalence, bindsToKey, and what the codec within needs", () =>
    Effect.gen(function*() {
      class Salt extends Context.Tag("Salt")<Salt, string>() {}
      const salted = Codec.make<string, Salt>({
        bindsToKey: true,
        decode: (stored) => Effect.map(Salt, (salt) => String(stored).slice(salt.length)),
        encode: (value) => Effect.map(Salt, (salt) => salt + value),
        equivalence: (a, b) => a.length === b.length
      })
      const codec = Codec.compressed(salted)
      assert.isTrue(codec.equivalence("a", "b"))
      assert.isTrue(codec.bindsToKey)
      assert.isFalse(raw.bindsToKey)
      const read = Effect.flatMap(codec.encode("value", at), (stored) => codec.decode(stored, at))
      assert.strictEqual(yield* Effect.provideService(read, Salt, "salt"), "value")
    }))

  it("fails as the codec within does", () => {
    assert.include(refused(json.encode({ a: NaN }, at)).message, "NaN is not JSON (at .a)")
    assert.include(refused(json.decode(done(raw.encode("{", at)), at)).message, "not JSON")
    const broken = Codec.compressed(Codec.make<string>({
      decode: (stored) => Exit.succeed(String(stored)),
      encode: Exit.succeed,
      equivalence: (a, b) => a === b
    }))
    assert.include(refused(broken.encode("\ud800", at)).message, "a lone surrogate")
  })

  it("refuses every truncation, and gives back nothing else for a changed byte", () => {
    const text = "all work and no play ".repeat(20)
    const stored = bytesOf(done(raw.encode(text, at)))
    for (let length = 0; length < stored.length; length++) refused(raw.decode(stored.subarray(0, length), at))
    let same = 0
    for (let i = 0; i < stored.length; i++) {
      for (const mask of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
        const read = raw.decode(flipped(stored, i, mask), at)
        // The bits that fill the last byte before the checksum mean nothing.
        if (Exit.isExit(read) && Exit.isSuccess(read)) {
          assert.strictEqual(read.value, text)
          same++
        } else refused(read)
      }
    }
    assert.isBelow(same, 8)
  })

  it("says what is wrong with what is stored", () => {
    assert.include(refused(raw.decode("text", at)).message, "text is stored there")
    assert.include(refused(raw.decode(new Uint8Array(), at)).message, "it is empty")
    assert.include(refused(raw.decode(new Uint8Array([0xd1, 1]), at)).message, "format (0xd1) is not known")
    assert.include(refused(raw.decode(new Uint8Array([0xc4, 1]), at)).message, "it is damaged")
    assert.strictEqual(refused(raw.decode(new Uint8Array([0xc2, 0xff]), at)).operation, "decode")
    refused(raw.decode(new Uint8Array([0xc8, ...zlib.deflateSync(new Uint8Array([0xff]))]), at))
  })

  it.live("decodes damaged and arbitrary bytes, or refuses them", () =>
    Effect.gen(function*() {
      const header = fc.constantFrom(0xc1, 0xc2, 0xc4, 0xc8)
      const start = fc.constantFrom([], [0x78, 0x9c])
      const seeds = fc.sample(fc.tuple(header, start, fc.uint8Array({ maxLength: 60 })), 500)
      for (const [header, start, rest] of seeds) {
        yield* readOrRefused(json, rest)
        yield* readOrRefused(json, new Uint8Array([header, ...start, ...rest]))
      }
      const stored = bytesOf(yield* raw.encode(large, at))
      for (let i = 0; i < stored.length; i += 997) assert.isFalse(yield* readOrRefused(raw, flipped(stored, i, 0x55)))
      assert.isFalse(yield* readOrRefused(raw, stored.subarray(0, stored.length - 1)))
    }))

  it.live("bounds what comes out, and what goes in", () =>
    Effect.gen(function*() {
      const limits = { maxLength: 200_000 }
      const bomb = (length: number) => new Uint8Array([0xc4, ...zlib.deflateSync(new Uint8Array(length))])
      assert.strictEqual((yield* decompress(bomb(200_000), limits)).length, 200_000)
      assert.include((yield* Effect.flip(decompress(bomb(200_001), limits))).message, "longer than 200000 bytes")
      assert.include((yield* Effect.flip(compress("é".repeat(100_001), limits))).message, "longer than 200000 bytes")
      assert.isAtMost((yield* compress("é".repeat(100_000), limits)).length, 200_000)
    }))

  it.live("a level that zlib does not know is a failure", () =>
    Effect.gen(function*() {
      // @ts-expect-error from 1 to 9
      const codec = Codec.compressed(Codec.text, { level: 12 })
      refused(codec.encode("text", at))
      assert.instanceOf(yield* Effect.flip(codec.encode(large, at)), Codec.CodecError)
    }))
})

const Document = Schema.Struct({ depth: Schema.Array(Schema.Struct({ large: Schema.String })), left: Schema.String })
class Documents extends KeyValueStore.Tag<Documents>()("Documents", {
  keyspace: "documents",
  value: Codec.compressed(Codec.json(Document))
}) {}

const Count = Schema.Struct({ count: Schema.Int, large: Schema.String })
class Counts extends KeyValueStore.Tag<Counts>()("Counts", {
  keyspace: "counts",
  value: Codec.compressed(Codec.json(Count))
}) {}

/** A number with 200,000 bytes around it: encoded and decoded asynchronously. */
const heavy = Codec.compressed(
  Codec.json(Schema.transform(Schema.Struct({ large: Schema.String, n: Schema.Int }), Schema.Int, {
    decode: ({ n }) => n,
    encode: (n) => ({ large, n }),
    strict: true
  }))
)
class Heavy extends KeyValueStore.Tag<Heavy>()("Heavy", { keyspace: "heavy", value: heavy }) {}

for (const engine of [memory, sqliteFile]) {
  describe(`a store of large compressed values (${engine.name})`, () => {
    const layer = Layer.mergeAll(Documents.layer, Counts.layer, Heavy.layer).pipe(Layer.provide(engine.layer))

    it.live("reads, writes, and updates atomically", () =>
      Effect.gen(function*() {
        const documents = yield* Documents
        yield* documents.set("large", many)
        yield* documents.set("small", few)
        deepStrictEqual(yield* documents.get("large"), Option.some(many))
        deepStrictEqual(
          yield* documents.toMap(),
          new Map([["large", many], ["small", few]])
        )
        const changed = { ...many, left: "right" }
        assert.isTrue(
          yield* documents.compareAndSet("large", Option.some(many), Option.some(changed))
        )
        assert.isFalse(yield* documents.compareAndSet("large", Option.some(many), Option.none()))
        deepStrictEqual(yield* documents.getOrFail("large"), changed)

        const counts = yield* Counts
        yield* counts.set("k", { count: 0, large })
        const add = counts.modify("k", (current) => {
          const now = Option.getOrThrow(current)
          return [now.count, Option.some({ ...now, count: now.count + 1 })]
        })
        const seen = yield* Effect.all(Array.from({ length: 20 }, () => add), { concurrency: "unbounded" })
        deepStrictEqual(seen.sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i))
        deepStrictEqual(yield* counts.getOrFail("k"), { count: 20, large })

        const numbers = yield* Heavy
        yield* Effect.all(Array.from({ length: 20 }, () => numbers.increment("n", 1)), { concurrency: "unbounded" })
        assert.strictEqual(yield* numbers.getOrFail("n"), 20)
      }).pipe(Effect.provide(layer)))
  })
}
