import type { DateTime, Duration, Layer, Option, Scope, Stream } from "effect"
import { Context, Effect, Schema } from "effect"
import type { KtError, Storage, StorageError } from "effect-kv"
import { Codec, KtCompat, KtTransport } from "effect-kv"
import { describe, expect, test } from "tstyche"

const User = Schema.Struct({ born: Schema.Date, name: Schema.String })
type User = typeof User.Type

class Secret extends Context.Tag("Secret")<Secret, string>() {}
const Sealed = Schema.transformOrFail(Schema.String, Schema.Number, {
  decode: () => Effect.as(Secret, 1),
  encode: () => Effect.map(Secret, (secret) => secret),
  strict: true
})

class Users extends KtCompat.Tag<Users>()("Users", { value: User }) {}
class Raw extends KtCompat.Tag<Raw>()("Raw", { db: "raw", value: KtCompat.none }) {}
class Seals extends KtCompat.Tag<Seals>()("Seals", { value: Sealed }) {}

declare const kt: KtCompat.KtCompat<string, string>
declare const users: KtCompat.KtCompat<string, User>
declare const raw: KtCompat.KtCompat<Uint8Array, Uint8Array>
declare const user: User
declare const bytes: Uint8Array
declare const dateTime: DateTime.DateTime
declare const maybe: KtCompat.WriteOptions | undefined
declare const handled: <R>(effect: Effect.Effect<void, KtCompat.Failure, R>) => void

type Eff<A, R = never> = Effect.Effect<A, KtCompat.Failure, R>

describe("a client", () => {
  test("is made of a transport, and of what its values need", () => {
    expect(KtCompat.make()).type.toBe<
      Effect.Effect<KtCompat.KtCompat<string, string>, never, KtTransport.KtTransport>
    >()
    expect(KtCompat.make({ db: "a" })).type.toBe<
      Effect.Effect<KtCompat.KtCompat<string, string>, never, KtTransport.KtTransport>
    >()
    expect(KtCompat.make({ value: User })).type.toBe<
      Effect.Effect<KtCompat.KtCompat<string, User>, never, KtTransport.KtTransport>
    >()
    expect(KtCompat.make({ value: KtCompat.json })).type.toBe<
      Effect.Effect<KtCompat.KtCompat<string, unknown>, never, KtTransport.KtTransport>
    >()
    expect(KtCompat.make({ value: Sealed })).type.toBe<
      Effect.Effect<KtCompat.KtCompat<string, number>, never, KtTransport.KtTransport | Secret>
    >()
    expect(KtCompat.make({ value: Codec.json(Sealed) })).type.toBe<
      Effect.Effect<KtCompat.KtCompat<string, number>, never, KtTransport.KtTransport | Secret>
    >()
    expect(KtCompat.makeBytes()).type.toBe<
      Effect.Effect<KtCompat.KtCompat<Uint8Array, string>, never, KtTransport.KtTransport>
    >()
    expect(KtCompat.makeBytes({ value: KtCompat.none })).type.toBe<
      Effect.Effect<KtCompat.KtCompat<Uint8Array, Uint8Array>, never, KtTransport.KtTransport>
    >()
  })

  test("reads Options, and writes values of its type", () => {
    expect(users.get("k")).type.toBe<Eff<Option.Option<User>>>()
    expect(users.getBytes("k", { db: 1 })).type.toBe<Eff<Option.Option<Uint8Array>>>()
    expect(users.getBulk(["k"])).type.toBe<Eff<ReadonlyMap<string, User>>>()
    expect(users.getBulkDetails([["a", "k"], [0, "k"]])).type.toBe<
      Eff<ReadonlyArray<KtCompat.Details<string, User>>>
    >()
    expect(users.set("k", user)).type.toBe<Eff<void>>()
    expect(users.setBulk({ k: user })).type.toBe<Eff<number>>()
    expect(users.setBulk(new Map([["k", user]]))).type.toBe<Eff<number>>()
    expect(users.add("k", user, maybe)).type.toBe<Eff<boolean>>()
    expect(users.pop("k")).type.toBe<Eff<Option.Option<User>>>()
    expect(users.length("k")).type.toBe<Eff<Option.Option<number>>>()
    expect(users.values()).type.toBe<Stream.Stream<User, KtCompat.Failure>>()
    expect(users.items({ db: "a" })).type.toBe<Stream.Stream<readonly [string, User], KtCompat.Failure>>()
    expect(users.cursor()).type.toBe<
      Effect.Effect<KtCompat.Cursor<string, User>, KtCompat.Failure, Scope.Scope>
    >()
    expect<Parameters<typeof users.set>>().type.toBe<
      [key: string, value: User, options?: KtCompat.WriteOptions | undefined]
    >()
    expect<Parameters<typeof raw.get>>().type.toBe<[key: Uint8Array, options?: KtCompat.At | undefined]>()
    expect<KtCompat.Dictionary<string, User>>().type.toBeAssignableFrom<{ readonly k: User }>()
    expect<KtCompat.Dictionary<string, User>>().type.toBeAssignableFrom<Array<[string, User]>>()
    expect<KtCompat.Dictionary<string, User>>().type.not.toBeAssignableFrom<{ readonly k: number }>()
    expect<KtCompat.Dictionary<string, User>>().type.not.toBeAssignableFrom<Map<string, string>>()
    expect(raw.set(bytes, bytes)).type.toBe<Eff<void>>()
    expect(raw.keys()).type.toBe<Stream.Stream<Uint8Array, KtCompat.Failure>>()
    expect(raw.matchPrefix(bytes)).type.toBe<Eff<ReadonlyArray<Uint8Array>>>()
  })

  test("fails with what it says, by tags", () => {
    expect<KtCompat.Failure>().type.toBe<
      KtError.KtError | StorageError.StorageError | StorageError.InvalidKey | Codec.CodecError
    >()
    handled(kt.set("k", "v"))
    expect(
      kt.get("k").pipe(
        Effect.catchTags({
          CodecError: () => Effect.succeedNone,
          InvalidKey: () => Effect.succeedNone,
          KtError: ({ reason }) => Effect.as(Effect.log(reason), undefined).pipe(Effect.zipRight(Effect.succeedNone)),
          StorageError: () => Effect.succeedNone
        })
      )
    ).type.toBeAssignableTo<Effect.Effect<Option.Option<string>>>()
  })

  test("takes an expire time in forms that have a unit", () => {
    expect<KtCompat.ExpireTime>().type.toBeAssignableFrom<"1 hour" | "never" | "keep" | readonly [1, 0]>()
    expect<KtCompat.ExpireTime>().type.toBeAssignableFrom<Duration.Duration | DateTime.DateTime | Date>()
    expect<KtCompat.ExpireTime>().type.toBeAssignableFrom<KtCompat.Expire>()
    expect(KtCompat.expire(60)).type.toBe<KtCompat.Expire>()
    expect<KtCompat.ExpireTime>().type.not.toBeAssignableFrom<number>()
    expect<KtCompat.ExpireTime>().type.not.toBeAssignableFrom<bigint>()
    expect<KtCompat.ExpireTime>().type.not.toBeAssignableFrom<"soon">()
    expect<KtCompat.ExpireTime>().type.not.toBeAssignableFrom<null>()
    expect<KtCompat.WriteOptions["expireTime"]>().type.toBe<KtCompat.ExpireTime | undefined>()
    expect<Parameters<typeof kt.touch>>().type.toBe<
      [key: string, expireTime?: KtCompat.ExpireTime | undefined, options?: KtCompat.At | undefined]
    >()
    expect<KtCompat.NewRecord<string, User>>().type.not.toBeAssignableFrom<
      { readonly expireTime: number; readonly key: string; readonly value: User }
    >()
    expect(kt.expires("k")).type.toBe<Eff<KtCompat.Expiration>>()
    expect(kt.touch("k")).type.toBe<Eff<KtCompat.Expiration>>()
    expect(kt.expireTime("k")).type.toBe<Eff<Option.Option<number>>>()
    expect<KtCompat.Expiration["_tag"]>().type.toBe<"Missing" | "Persistent" | "Expires">()
    expect(KtCompat.Expiration.Missing()).type.toBeAssignableTo<KtCompat.Expiration>()
  })

  test("counts in bigints, or in numbers with decimals", () => {
    expect(kt.increment("k")).type.toBe<Eff<bigint>>()
    expect(kt.increment("k", 1n, { orig: "try" })).type.toBe<Eff<bigint>>()
    expect(kt.increment("k", 1, { orig: 5 })).type.toBe<Eff<bigint>>()
    expect(kt.incrementDouble("k", 0.5, { orig: "set" })).type.toBe<Eff<number>>()
    expect<Parameters<typeof kt.increment>[1]>().type.toBe<number | bigint | undefined>()
    expect<Parameters<typeof kt.incrementDouble>[1]>().type.toBe<number | undefined>()
    expect<KtCompat.IncrementOptions<number>["orig"]>().type.toBe<number | "set" | "try" | undefined>()
  })

  test("has views of other databases and values", () => {
    expect(users.setDatabase(1)).type.toBe<KtCompat.KtCompat<string, User>>()
    expect(kt.withValues(User)).type.toBe<KtCompat.KtCompat<string, User>>()
    expect(kt.withValues(KtCompat.none)).type.toBe<KtCompat.KtCompat<string, Uint8Array>>()
    expect(raw.withValues(KtCompat.binary)).type.toBe<KtCompat.KtCompat<Uint8Array, string>>()
    // @ts-expect-error a view cannot provide what the schema needs
    void kt.withValues(Sealed)
  })

  test("is a service, with layers", () => {
    expect(Effect.map(Users, (users) => users)).type.toBe<
      Effect.Effect<KtCompat.KtCompat<string, User>, never, Users>
    >()
    expect(Raw.layer).type.toBe<Layer.Layer<Raw, never, KtTransport.KtTransport>>()
    expect(Users.layerMemory).type.toBe<Layer.Layer<Users, StorageError.StorageError | KtError.KtError>>()
    expect(Seals.layer).type.toBe<Layer.Layer<Seals, never, KtTransport.KtTransport | Secret>>()
    expect(Seals.layerMemory).type.toBe<Layer.Layer<Seals, StorageError.StorageError | KtError.KtError, Secret>>()
    expect(KtCompat.layer({ db: 1 })).type.toBe<
      Layer.Layer<KtCompat.KtCompat<string, string>, never, KtTransport.KtTransport>
    >()
    expect(KtCompat.layerMemory).type.toBe<
      Layer.Layer<KtCompat.KtCompat<string, string>, StorageError.StorageError | KtError.KtError>
    >()
    // @ts-expect-error it needs to know its values
    void KtCompat.Tag<Users>()("Users", {})
  })
})

describe("procedures", () => {
  const plain = KtCompat.procedure(
    "plain",
    (input, kt) =>
      Effect.as(kt.setBytes("k", input.get("a") ?? bytes), { a: 1, b: "b", c: 2n, d: true, e: bytes, f: undefined })
  )
  const needing = KtCompat.procedure("needing", () => Effect.map(Secret, (secret) => ({ secret })))

  test("need what their handlers need, and so do the databases", () => {
    expect(plain).type.toBe<KtTransport.Procedure>()
    expect(needing).type.toBe<KtTransport.Procedure<Secret>>()
    expect(KtTransport.layerDatabases(["%"], { procedures: [plain] })).type.toBe<
      Layer.Layer<KtTransport.KtTransport, StorageError.StorageError | KtError.KtError>
    >()
    expect(KtTransport.layerDatabases(["%"], { procedures: [needing] })).type.toBe<
      Layer.Layer<KtTransport.KtTransport, StorageError.StorageError | KtError.KtError, Secret>
    >()
    expect(KtTransport.layer({ procedures: [needing] })).type.toBe<
      Layer.Layer<KtTransport.KtTransport, StorageError.StorageError | KtError.KtError, Storage.Storage | Secret>
    >()
    expect(KtTransport.layer()).type.toBe<
      Layer.Layer<KtTransport.KtTransport, StorageError.StorageError | KtError.KtError, Storage.Storage>
    >()
  })

  test("of several needs", () => {
    expect(KtTransport.layerDatabases(["%"], { procedures: [plain, needing] })).type.toBe<
      Layer.Layer<KtTransport.KtTransport, StorageError.StorageError | KtError.KtError, Secret>
    >()
  })

  test("answer with what has a text", () => {
    expect<KtCompat.Answer>().type.toBeAssignableFrom<
      { a: string; b: number; c: bigint; d: boolean; e: Uint8Array; f: undefined }
    >()
    expect<KtCompat.Answer>().type.not.toBeAssignableFrom<{ a: null }>()
    expect<KtCompat.Answer>().type.not.toBeAssignableFrom<{ a: object }>()
    expect<KtCompat.Answer>().type.not.toBeAssignableFrom<number>()
  })

  test("are called with values of the client, or raw", () => {
    expect(users.script("p", { u: user })).type.toBe<Eff<ReadonlyMap<string, User>>>()
    expect<Parameters<typeof users.script>[1]>().type.toBe<KtCompat.Dictionary<string, User> | undefined>()
    expect(users.rawScript("p", { a: "text", b: bytes })).type.toBe<Eff<ReadonlyMap<string, Uint8Array>>>()
    expect<Parameters<typeof users.rawScript>[1]>().type.toBe<
      KtCompat.Dictionary<string, string | Uint8Array> | undefined
    >()
  })
})

describe("the update log", () => {
  test("is a stream of changes by their tags", () => {
    expect(kt.changes({ follow: true, since: 5n })).type.toBe<Stream.Stream<KtTransport.Change, KtCompat.Failure>>()
    expect(kt.changes({ since: dateTime })).type.toBe<Stream.Stream<KtTransport.Change, KtCompat.Failure>>()
    expect<NonNullable<Parameters<typeof kt.changes>[0]>["since"]>().type.not.toBeAssignableFrom<number>()
    expect<KtTransport.Change["_tag"]>().type.toBe<"Set" | "Remove" | "Clear">()
    expect<Extract<KtTransport.Change, { readonly _tag: "Set" }>["expiresAt"]>().type.toBe<number | undefined>()
    expect(kt.ulogList).type.toBe<Eff<ReadonlyArray<KtCompat.LogFile>>>()
  })
})

describe("raw formats", () => {
  test("are of the values of the client", () => {
    expect(users.serializeDict({ a: user })).type.toBe<Eff<Uint8Array>>()
    expect(users.deserializeDict(bytes)).type.toBe<Eff<ReadonlyMap<string, User>>>()
    expect(users.serializeList([user])).type.toBe<Eff<Uint8Array>>()
    expect(users.deserializeList(bytes)).type.toBe<Eff<ReadonlyArray<User>>>()
    expect<Parameters<typeof users.serializeList>>().type.toBe<[values: Iterable<User>]>()
  })
})
