import type { Config, Redacted } from "effect"
import { Context, Effect as E, Schema } from "effect"
import { Codec } from "effect-kv"
import { describe, expect, test } from "tstyche"

class Salt extends Context.Tag("Salt")<Salt, string>() {}
const Salted = Schema.transformOrFail(Schema.String, Schema.Number, {
  decode: (text) => E.as(Salt, text.length),
  encode: (length) => E.as(Salt, String(length)),
  strict: true
})

declare const text: Redacted.Redacted<string>
declare const bytes: Redacted.Redacted<Uint8Array>
declare const configured: Config.Config.Success<Config.Config<Redacted.Redacted>>

describe("codecs", () => {
  test("of a schema need what it needs", () => {
    expect(Codec.msgpack(Schema.Date)).type.toBe<Codec.Codec<Date>>()
    expect(Codec.msgpack(Salted)).type.toBe<Codec.Codec<number, Salt>>()
  })

  test("of codecs keep the type and what is needed", () => {
    expect(Codec.compressed(Codec.msgpack(Salted))).type.toBe<Codec.Codec<number, Salt>>()
    expect(Codec.encrypted(Codec.compressed(Codec.msgpack(Salted)), text)).type.toBe<Codec.Codec<number, Salt>>()
  })

  test("are encrypted by one redacted key or several", () => {
    expect(Codec.encrypted(Codec.text, bytes)).type.toBe<Codec.Codec<string>>()
    expect(Codec.encrypted(Codec.text, configured)).type.toBe<Codec.Codec<string>>()
    expect(Codec.encrypted(Codec.text, [text, bytes])).type.toBe<Codec.Codec<string>>()
    // @ts-expect-error there must be a key
    Codec.encrypted(Codec.text, [])
    // @ts-expect-error it must be redacted
    Codec.encrypted(Codec.text, "key")
  })

  test("are made without bindsToKey or with it", () => {
    const { bindsToKey, decode, encode, equivalence } = Codec.text
    expect(Codec.make({ decode, encode, equivalence })).type.toBe<Codec.Codec<string>>()
    expect(Codec.make({ bindsToKey, decode, encode, equivalence })).type.toBe<Codec.Codec<string>>()
  })
})
