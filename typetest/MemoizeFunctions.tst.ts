import { Effect, Schema, type Scope } from "effect"
import { Memoize, type Storage, type StorageError } from "effect-kv"
import { describe, expect, test } from "tstyche"

declare const fetchUser: (id: string) => Effect.Effect<number>
declare const now: () => Effect.Effect<number>

const options = {
  args: Schema.Tuple(Schema.String),
  name: "f",
  success: Schema.Number,
  timeToLive: "1 hour"
} as const

type Made = Effect.Effect<
  Memoize.Memo<readonly [string], number>,
  StorageError.StorageError,
  Scope.Scope | Storage.Storage
>

describe("a function is memoised", () => {
  test("that is written somewhere else", () => {
    expect(Memoize.make(options, fetchUser)).type.toBe<Made>()
  })

  test("that needs fewer arguments", () => {
    expect(Memoize.make(options, now)).type.toBe<Made>()
  })

  test("that says the types of its arguments", () => {
    expect(Memoize.make(options, (id: string) => fetchUser(id))).type.toBe<Made>()
  })

  test("whose key is made of some of its arguments", () => {
    expect(Memoize.make({ ...options, key: (id: string) => id }, fetchUser)).type.toBe<Made>()
    expect(Memoize.make({ ...options, key: () => 1 }, fetchUser)).type.toBe<Made>()
  })

  test("but not one of other arguments", () => {
    void [
      // @ts-expect-error a string is no number
      Memoize.make(options, (id: number) => Effect.succeed(id)),
      // @ts-expect-error there is no second argument
      Memoize.make(options, (id: string, n: number) => Effect.succeed(id.length + n))
    ]
  })
})
