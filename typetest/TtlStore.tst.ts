import type { Persistence, RateLimiter } from "@effect/experimental"
import type { DateTime, Duration, Effect, Layer, Option } from "effect"
import { Context, Effect as E, Schema } from "effect"
import type { KeyValueStore, Storage, StorageError } from "effect-kv"
import { Codec, TtlStore } from "effect-kv"
import { describe, expect, test } from "tstyche"

const User = Schema.Struct({ name: Schema.String })
type User = typeof User.Type
const UserId = Schema.String.pipe(Schema.brand("UserId"))
type UserId = typeof UserId.Type

class Sessions extends TtlStore.Tag<Sessions>()("Sessions", {
  key: UserId,
  keyspace: "sessions",
  timeToLive: "30 minutes",
  value: User
}) {}
class Notes extends TtlStore.Tag<Notes>()("Notes", { keyspace: "notes", value: Codec.text }) {}

class Secret extends Context.Tag("Secret")<Secret, string>() {}
const Sealed = Schema.transformOrFail(Schema.String, Schema.String, {
  decode: (text) => E.as(Secret, text),
  encode: (text) => E.as(Secret, text),
  strict: true
})
class Seals extends TtlStore.Tag<Seals>()("Seals", { keyspace: "seals", value: Sealed }) {}

declare const users: TtlStore.TtlStore<UserId, User>
declare const hits: TtlStore.TtlStore<string, bigint>
declare const notes: TtlStore.TtlStore<string, string>
declare const plain: TtlStore.Plain
declare const id: UserId
declare const date: Date
declare const dateTime: DateTime.DateTime
declare const duration: Duration.Duration
declare const maybe: TtlStore.Expiry | undefined

describe("a TtlStore", () => {
  test("is a KeyValueStore of the same types", () => {
    expect<TtlStore.TtlStore<UserId, User>>().type.toBeAssignableTo<KeyValueStore.KeyValueStore<UserId, User>>()
    expect<TtlStore.TtlStore<string, bigint>>().type.toBeAssignableTo<KeyValueStore.KeyValueStore<string, bigint>>()
    expect<TtlStore.TtlStore<string, string>>().type.toBeAssignableTo<KeyValueStore.KeyValueStore<string, string>>()
    expect<TtlStore.Plain>().type.toBeAssignableTo<KeyValueStore.Plain>()
    expect<TtlStore.TtlStore<string, User>>().type.not.toBeAssignableTo<KeyValueStore.KeyValueStore<UserId, User>>()
    expect<TtlStore.TtlStore<UserId, User>>().type.not.toBeAssignableTo<KeyValueStore.KeyValueStore<UserId, string>>()
    expect<KeyValueStore.KeyValueStore<UserId, User>>().type.not.toBeAssignableTo<TtlStore.TtlStore<UserId, User>>()
  })
})

describe("a store class", () => {
  test("is the tag of its store", () => {
    expect(E.map(Sessions, (sessions) => sessions)).type.toBe<
      Effect.Effect<TtlStore.TtlStore<UserId, User>, never, Sessions>
    >()
  })

  test("has a layer that needs Storage and what its schemas need", () => {
    expect(Sessions.layer).type.toBe<Layer.Layer<Sessions, StorageError.StorageError, Storage.Storage>>()
    expect(Sessions.layerMemory).type.toBe<Layer.Layer<Sessions, StorageError.StorageError>>()
    expect(Seals.layer).type.toBe<Layer.Layer<Seals, StorageError.StorageError, Storage.Storage | Secret>>()
    expect(Seals.layerMemory).type.toBe<Layer.Layer<Seals, StorageError.StorageError, Secret>>()
    expect(Notes.layer).type.toBe<Layer.Layer<Notes, StorageError.StorageError, Storage.Storage>>()
    expect(TtlStore.make({ keyspace: "seals", value: Sealed })).type.toBe<
      Effect.Effect<TtlStore.TtlStore<string, string>, StorageError.StorageError, Storage.Storage | Secret>
    >()
  })

  test("the layers of the plain store and of the sweeper", () => {
    expect(TtlStore.layer({ timeToLive: "1 hour" })).type.toBe<
      Layer.Layer<TtlStore.Plain, StorageError.StorageError, Storage.Storage>
    >()
    expect(TtlStore.layerMemory).type.toBe<Layer.Layer<TtlStore.Plain, StorageError.StorageError>>()
    expect(TtlStore.sweeper({ interval: "1 second" })).type.toBe<
      Layer.Layer<never, StorageError.StorageError, Storage.Storage>
    >()
  })
})

describe("an expiry", () => {
  test("is one of three, or none", () => {
    const user = { name: "Ada" }
    expect(users.set(id, user)).type.toBe<Effect.Effect<void, KeyValueStore.Failure>>()
    void users.set(id, user, { timeToLive: "1 hour" })
    void users.set(id, user, { timeToLive: duration })
    void users.set(id, user, { expiresAt: dateTime })
    void users.set(id, user, { expiresAt: date })
    void users.set(id, user, { expiresAt: 0 })
    void users.set(id, user, { keep: true })
    void users.set(id, user, maybe)
    // @ts-expect-error none of the three
    void users.set(id, user, {})
    // @ts-expect-error false is not keep
    void users.set(id, user, { keep: false })
    // @ts-expect-error two of them
    void users.set(id, user, { expiresAt: 0, timeToLive: 1 })
    // @ts-expect-error two of them
    void users.set(id, user, { keep: true, timeToLive: 1 })
    // @ts-expect-error two of them
    void users.set(id, user, { expiresAt: 0, keep: true })
    // @ts-expect-error no duration
    void users.set(id, user, { timeToLive: "nonsense" })
    // @ts-expect-error text is no time
    void users.set(id, user, { expiresAt: "2030-01-01" })
  })

  test("of many entries is for each, for all or neither", () => {
    const user = { name: "Ada" }
    void users.setMany([[id, user], [id, user, { keep: true }], [id, user, maybe]], maybe)
    void users.setMany(new Map([[id, user]]), { timeToLive: 1 })
    // @ts-expect-error two of them
    void users.setMany([[id, user, { expiresAt: 0, timeToLive: 1 }]])
  })
})

describe("the methods", () => {
  test("getOrSet has the errors and needs of its effect besides its own", () => {
    const compute: Effect.Effect<User, "no", Secret> = E.as(Secret, { name: "Ada" })
    expect(users.getOrSet(id, compute)).type.toBe<Effect.Effect<User, "no" | KeyValueStore.Failure, Secret>>()
    expect(users.getOrSet(id, E.succeed({ name: "Ada" }), { timeToLive: 5 })).type.toBe<
      Effect.Effect<User, KeyValueStore.Failure>
    >()
    // @ts-expect-error text is no User
    void users.getOrSet(id, E.succeed("no user"))
  })

  test("for expiries need nothing", () => {
    expect(users.ttl(id)).type.toBe<Effect.Effect<TtlStore.Ttl, KeyValueStore.Failure>>()
    expect(users.touch(id)).type.toBe<Effect.Effect<boolean, KeyValueStore.Failure>>()
    expect(users.persist(id)).type.toBe<Effect.Effect<boolean, KeyValueStore.Failure>>()
    expect(users.getAndTouch(id, "1 hour")).type.toBe<Effect.Effect<Option.Option<User>, KeyValueStore.Failure>>()
    expect(users.sweep).type.toBe<Effect.Effect<number, StorageError.StorageError>>()
    // @ts-expect-error a key is a UserId
    void users.ttl("some text")
    void users.expire(id, 5, { onlyIf: "later" })
    // @ts-expect-error no condition
    void users.expire(id, 5, { onlyIf: "sooner" })
    // @ts-expect-error a duration is no time
    void users.expireAt(id, "1 hour")
  })

  test("increment is for numbers, append for text and bytes, both with an expiry", () => {
    expect(hits.increment("k", 1n, { keep: true })).type.toBe<
      Effect.Effect<bigint, KeyValueStore.Failure | StorageError.CounterError>
    >()
    expect(notes.append("k", "more", { timeToLive: 5 })).type.toBe<Effect.Effect<void, KeyValueStore.Failure>>()
    // @ts-expect-error users are no numbers
    void users.increment(id, 1)
    // @ts-expect-error a bigint counter takes a bigint
    void hits.increment("k", 1)
    // @ts-expect-error a bigint is no text
    void hits.append("k", "more")
  })

  test("views are TtlStores, and of typed keys need a schema for the rest", () => {
    expect(hits.prefix("a")).type.toBe<TtlStore.TtlStore<string, bigint>>()
    expect(users.prefix("a", { key: Schema.NumberFromString })).type.toBe<TtlStore.TtlStore<number, User>>()
    expect(plain.prefix("a")).type.toBe<TtlStore.Plain>()
    expect(plain.prefix("a").forSchema(User)).type.toBe<TtlStore.TtlStore<string, User>>()
    expect(plain.prefix("a", { key: Schema.NumberFromString })).type.toBe<
      TtlStore.TtlStore<number, Storage.Value>
    >()
    // @ts-expect-error the schema needs something
    void plain.forSchema(Sealed)
    // @ts-expect-error what is left of a UserId is no UserId
    void users.prefix("a")
  })

  test("what ttl answers is matched completely", () => {
    expect(TtlStore.Ttl.$match({ Missing: () => 1, Persistent: () => 2, Remaining: ({ expiresAt }) => expiresAt }))
      .type.toBe<(value: TtlStore.Ttl) => number>()
    // @ts-expect-error one is missing
    void TtlStore.Ttl.$match({ Missing: () => 1, Persistent: () => 2 })
  })
})

describe("the layers for @effect/experimental", () => {
  test("give its tags, and need Storage", () => {
    expect(TtlStore.layerPersistence({ keyspace: "k" })).type.toBe<
      Layer.Layer<Persistence.BackingPersistence, StorageError.StorageError, Storage.Storage>
    >()
    expect(TtlStore.layerRateLimiter({ keyspace: "k" })).type.toBe<
      Layer.Layer<RateLimiter.RateLimiterStore, StorageError.StorageError, Storage.Storage>
    >()
  })
})
