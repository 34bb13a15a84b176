import { Effect, Schema } from "effect"
import { Memoize } from "effect-kv"
import { describe, expect, test } from "tstyche"

declare const fetchUser: (id: string) => Effect.Effect<number>
declare const now: () => Effect.Effect<number>

const options = {
  args: Schema.Tuple(Schema.String),
  name: "f",
  success: Schema.Number,
  timeToLive: "1 hour"
} as const

describe("a function is memoised", () => {
  test("that is written somewhere else", () => {
    expect(Memoize.make).type.toBeCallableWith(options, fetchUser)
  })

  test("that needs fewer arguments", () => {
    expect(Memoize.make).type.toBeCallableWith(options, now)
  })

  test("that says the types of its arguments", () => {
    expect(Memoize.make).type.toBeCallableWith(options, (id: string) => fetchUser(id))
  })

  test("but not one of other arguments", () => {
    expect(Memoize.make).type.not.toBeCallableWith(options, (id: number) => Effect.succeed(id))
  })
})
