import type { KeyValueStore as Platform } from "@effect/platform"
import type { Effect, Layer, Option, Stream } from "effect"
import { Context, Effect as E, Schema } from "effect"
import type { Storage, StorageError } from "effect-kv"
import { Codec, KeyValueStore } from "effect-kv"
import { describe, expect, test } from "tstyche"

const User = Schema.Struct({ name: Schema.String })
type User = typeof User.Type
const UserId = Schema.String.pipe(Schema.brand("UserId"))
type UserId = typeof UserId.Type

class Users extends KeyValueStore.Tag<Users>()("Users", { key: UserId, keyspace: "users", value: User }) {}
class Hits extends KeyValueStore.Tag<Hits>()("Hits", { keyspace: "hits", value: Schema.BigInt }) {}
class Notes extends KeyValueStore.Tag<Notes>()("Notes", { keyspace: "notes", value: Codec.text }) {}

class Secret extends Context.Tag("Secret")<Secret, string>() {}
const Sealed = Schema.transformOrFail(Schema.String, Schema.String, {
  decode: (text) => E.as(Secret, text),
  encode: (text) => E.as(Secret, text),
  strict: true
})
class Seals extends KeyValueStore.Tag<Seals>()("Seals", { keyspace: "seals", value: Sealed }) {}

declare const users: KeyValueStore.KeyValueStore<UserId, User>
declare const hits: KeyValueStore.KeyValueStore<string, bigint>
declare const notes: KeyValueStore.KeyValueStore<string, string>
declare const plain: KeyValueStore.Plain
declare const id: UserId

describe("a store class", () => {
  test("is the tag of its store", () => {
    expect(E.map(Users, (users) => users)).type.toBe<
      Effect.Effect<KeyValueStore.KeyValueStore<UserId, User>, never, Users>
    >()
    expect(E.map(Hits, (hits) => hits)).type.toBe<
      Effect.Effect<KeyValueStore.KeyValueStore<string, bigint>, never, Hits>
    >()
  })

  test("has a layer that needs Storage and what its schemas need", () => {
    expect(Users.layer).type.toBe<Layer.Layer<Users, StorageError.StorageError, Storage.Storage>>()
    expect(Users.layerMemory).type.toBe<Layer.Layer<Users, StorageError.StorageError>>()
    expect(Seals.layer).type.toBe<Layer.Layer<Seals, StorageError.StorageError, Storage.Storage | Secret>>()
    expect(Seals.layerMemory).type.toBe<Layer.Layer<Seals, StorageError.StorageError, Secret>>()
    expect(Notes.layer).type.toBe<Layer.Layer<Notes, StorageError.StorageError, Storage.Storage>>()
  })
})

describe("the methods", () => {
  test("need nothing and fail as Failure", () => {
    expect(users.get(id)).type.toBe<Effect.Effect<Option.Option<User>, KeyValueStore.Failure>>()
    expect(users.getOrFail(id)).type.toBe<
      Effect.Effect<User, KeyValueStore.Failure | StorageError.KeyNotFound>
    >()
    expect(users.entries()).type.toBe<Stream.Stream<readonly [UserId, User], KeyValueStore.Failure>>()
  })

  test("take keys and values of their types only", () => {
    // @ts-expect-error a text is no UserId
    void users.get("some text")
    // @ts-expect-error a name is a text
    void users.set(id, { name: 1 })
    expect(users.set(id, { name: "Ada" })).type.toBe<Effect.Effect<void, KeyValueStore.Failure>>()
  })

  test("increment is for numbers, append for text and bytes", () => {
    expect(hits.increment("k", 1n)).type.toBe<
      Effect.Effect<bigint, KeyValueStore.Failure | StorageError.CounterError>
    >()
    expect(notes.append("k", "more")).type.toBe<Effect.Effect<void, KeyValueStore.Failure>>()
    // @ts-expect-error users are no numbers
    void users.increment(id, 1)
    // @ts-expect-error a bigint counter takes a bigint
    void hits.increment("k", 1)
    // @ts-expect-error a bigint is no text
    void hits.append("k", "more")
  })

  test("a prefix view of typed keys needs a schema for the rest", () => {
    expect(hits.prefix("a")).type.toBe<KeyValueStore.KeyValueStore<string, bigint>>()
    expect(users.prefix("a", { key: Schema.NumberFromString })).type.toBe<KeyValueStore.KeyValueStore<number, User>>()
    // @ts-expect-error what is left of a UserId is no UserId
    void users.prefix("a")
  })

  test("a transaction adds StorageError and keeps the rest", () => {
    expect(users.transaction(E.fail("no" as const))).type.toBe<
      Effect.Effect<never, "no" | StorageError.StorageError>
    >()
  })
})

describe("the plain store", () => {
  test("has typed views of schemas that need nothing", () => {
    expect(plain.prefix("a").forSchema(User)).type.toBe<KeyValueStore.KeyValueStore<string, User>>()
    // @ts-expect-error a view cannot provide what the schema needs
    plain.forSchema(Sealed)
  })
})

describe("the layer for @effect/platform", () => {
  test("gives its tag, and needs Storage", () => {
    expect(KeyValueStore.layerPlatform({ keyspace: "k", prefix: "p" })).type.toBe<
      Layer.Layer<Platform.KeyValueStore, StorageError.StorageError, Storage.Storage>
    >()
  })
})
