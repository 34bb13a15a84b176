import type { Cause, Duration, Effect, Layer, Option, Request, RequestResolver, Scope } from "effect"
import { Context, Effect as E, Schema } from "effect"
import type { Storage, StorageError } from "effect-kv"
import { Codec, Memoize } from "effect-kv"
import { describe, expect, test } from "tstyche"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Number }) {}
class Offline extends Schema.TaggedError<Offline>()("Offline", {}) {}
class User extends Schema.Class<User>("User")({ born: Schema.Date, name: Schema.String }) {}

class Api extends Context.Tag("Api")<Api, { readonly fetch: (id: number) => Effect.Effect<User, Offline> }>() {}
class Secret extends Context.Tag("Secret")<Secret, string>() {}
const Sealed = Schema.transformOrFail(Schema.String, Schema.String, {
  decode: (text) => E.as(Secret, text),
  encode: (text) => E.as(Secret, text),
  strict: true
})

class UserById extends Schema.TaggedRequest<UserById>()("UserById", {
  failure: Schema.Union(NotFound, Offline),
  payload: { id: Schema.Number },
  success: User
}) {}
class Other extends Schema.TaggedRequest<Other>()("Other", {
  failure: Schema.Never,
  payload: {},
  success: Schema.Void
}) {}

declare const resolver: RequestResolver.RequestResolver<UserById, Api>
declare const user: User
declare const failingOtherwise: (id: number) => Effect.Effect<User, "no">
declare const memo: Memoize.Memo<readonly [id: number], User, NotFound>
declare const bySuccess: (id: number) => Effect.Effect<User>
declare const byFailing: (id: number) => Effect.Effect<User, NotFound | Offline, Api>

const options = { args: Schema.Tuple(Schema.Number), name: "getUser", success: User, timeToLive: "1 hour" } as const

type Base = Storage.Storage | Scope.Scope

describe("make", () => {
  test("infers the arguments from their schema", () => {
    expect(Memoize.make(options, bySuccess)).type.toBe<
      Effect.Effect<Memoize.Memo<readonly [number], User>, StorageError.StorageError, Base>
    >()
    void Memoize.make(options, (id) => {
      expect(id).type.toBe<number>()
      return E.succeed(user)
    })
  })

  test("of a function that takes fewer arguments, or none", () => {
    expect(Memoize.make(options, () => E.succeed(user))).type.toBe<
      Effect.Effect<Memoize.Memo<readonly [number], User>, StorageError.StorageError, Base>
    >()
    expect(Memoize.make({ ...options, args: Schema.Tuple() }, () => E.succeed(user))).type.toBe<
      Effect.Effect<Memoize.Memo<readonly [], User>, StorageError.StorageError, Base>
    >()
    expect(Memoize.make({ ...options, key: () => "all" }, () => E.succeed(user))).type.toBe<
      Effect.Effect<Memoize.Memo<readonly [number], User>, StorageError.StorageError, Base>
    >()
  })

  test("of optional arguments and of any number", () => {
    const optional = Schema.Tuple(Schema.Number, Schema.optionalElement(Schema.String))
    expect(
      Memoize.make({ ...options, args: optional }, (id: number, text?: string) => E.as(E.succeed([id, text]), user))
    ).type.toBe<
      Effect.Effect<Memoize.Memo<readonly [number, string?], User>, StorageError.StorageError, Base>
    >()
    expect(Memoize.make({ ...options, args: Schema.Array(Schema.Number) }, (...ids) => E.as(E.succeed(ids), user))).type
      .toBe<Effect.Effect<Memoize.Memo<ReadonlyArray<number>, User>, StorageError.StorageError, Base>>()
  })

  test("an argument that the schema does not cover is refused", () => {
    // @ts-expect-error another type
    void Memoize.make(options, (id: string) => E.as(E.succeed(id), user))
    // @ts-expect-error one argument more
    void Memoize.make(options, (id: number, more: string) => E.as(E.succeed([id, more]), user))
    // @ts-expect-error narrower than the schema
    void Memoize.make(options, (id: 1 | 2) => E.as(E.succeed(id), user))
    // @ts-expect-error it is no tuple
    void Memoize.make({ ...options, args: Schema.Number }, (id: number) => E.as(E.succeed(id), user))
  })

  test("an answer that the schema does not cover is refused", () => {
    // @ts-expect-error another type
    void Memoize.make(options, (id) => E.succeed(id))
    // @ts-expect-error perhaps another type
    void Memoize.make(options, (id) => id > 1 ? E.succeed(user) : E.succeed(null))
  })

  test("options that are none are refused", () => {
    // @ts-expect-error no time to live
    void Memoize.make({ args: Schema.Tuple(Schema.Number), name: "getUser", success: User }, bySuccess)
    // @ts-expect-error there is no name
    void Memoize.make({ args: Schema.Tuple(Schema.Number), success: User, timeToLive: 1 }, bySuccess)
    // @ts-expect-error no duration
    void Memoize.make({ ...options, timeToLive: "nonsense" }, bySuccess)
    // @ts-expect-error no such policy
    void Memoize.make({ ...options, eviction: "random" }, bySuccess)
    // @ts-expect-error no capacity
    void Memoize.make({ ...options, inMemory: {} }, bySuccess)
    // @ts-expect-error functions are no part of a key
    void Memoize.make({ ...options, key: (id: number) => () => id }, bySuccess)
  })

  test("has the failures of the function, and needs what it needs, once", () => {
    expect(Memoize.make(options, byFailing)).type.toBe<
      Effect.Effect<
        Memoize.Memo<readonly [number], User, NotFound | Offline>,
        StorageError.StorageError,
        Base | Api
      >
    >()
    expect(Memoize.make({ ...options, args: Schema.Tuple(Sealed), success: Sealed }, (text) => E.succeed(text))).type
      .toBe<
        Effect.Effect<Memoize.Memo<readonly [string], string>, StorageError.StorageError, Base | Secret>
      >()
  })

  test("failures that are stored may be fewer than those of the function", () => {
    expect(Memoize.make({ ...options, failure: NotFound }, byFailing)).type.toBe<
      Effect.Effect<
        Memoize.Memo<readonly [number], User, NotFound | Offline>,
        StorageError.StorageError,
        Base | Api
      >
    >()
  })

  test("the time to live is told the exit and the arguments; tags the arguments and the answer", () => {
    void Memoize.make({
      ...options,
      failure: NotFound,
      tags: (args, value) => {
        expect(args).type.toBe<readonly [number]>()
        expect(value).type.toBe<User>()
        return [value.name]
      },
      timeToLive: (exit, args) => {
        expect(args).type.toBe<readonly [number]>()
        return exit._tag === "Success" ? exit.value.name.length : "1 second"
      }
    }, byFailing)
  })

  test("each option that lets calls fail adds its error", () => {
    expect(Memoize.make({ ...options, hardTimeout: "1 second" }, bySuccess)).type.toBe<
      Effect.Effect<Memoize.Memo<readonly [number], User, Cause.TimeoutException>, StorageError.StorageError, Base>
    >()
    expect(Memoize.make({ ...options, onDecodeFailure: "fail" }, bySuccess)).type.toBe<
      Effect.Effect<Memoize.Memo<readonly [number], User, Codec.CodecError>, StorageError.StorageError, Base>
    >()
    expect(Memoize.make({ ...options, onStorageFailure: "fail" }, bySuccess)).type.toBe<
      Effect.Effect<Memoize.Memo<readonly [number], User, Memoize.Trouble>, StorageError.StorageError, Base>
    >()
    expect(Memoize.make({ ...options, onDecodeFailure: "recompute", onStorageFailure: "call" }, bySuccess)).type.toBe<
      Effect.Effect<Memoize.Memo<readonly [number], User>, StorageError.StorageError, Base>
    >()
    expect(
      Memoize.make({ ...options, hardTimeout: 1, onDecodeFailure: "fail", onStorageFailure: "fail" }, byFailing)
    ).type.toBe<
      Effect.Effect<
        Memoize.Memo<readonly [number], User, NotFound | Offline | Cause.TimeoutException | Memoize.Trouble>,
        StorageError.StorageError,
        Base | Api
      >
    >()
  })

  test("any codec that is made of a schema", () => {
    void Memoize.make({ ...options, codec: Codec.msgpack }, bySuccess)
    void Memoize.make({ ...options, codec: (schema) => Codec.compressed(Codec.json(schema)) }, bySuccess)
    // @ts-expect-error a codec of one type
    void Memoize.make({ ...options, codec: () => Codec.text }, bySuccess)
  })
})

describe("a memoised function", () => {
  test("is called as the function is", () => {
    expect(memo(1)).type.toBe<Effect.Effect<User, NotFound>>()
    expect(memo.refresh(1)).type.toBe<Effect.Effect<User, NotFound>>()
    // @ts-expect-error another type
    void memo("1")
    // @ts-expect-error no argument
    void memo()
    // @ts-expect-error one argument more
    void memo(1, 2)
  })

  test("has controls that take its arguments", () => {
    expect(memo.invalidate(1)).type.toBe<Effect.Effect<boolean, Memoize.Trouble>>()
    expect(memo.softInvalidate(1)).type.toBe<Effect.Effect<boolean, Memoize.Trouble>>()
    expect(memo.invalidateAll).type.toBe<Effect.Effect<number, StorageError.StorageError>>()
    expect(memo.keyOf(1)).type.toBe<Effect.Effect<string, Codec.CodecError>>()
    expect(memo.peek(1)).type.toBe<Effect.Effect<Option.Option<Memoize.Peeked<User, NotFound>>, Memoize.Trouble>>()
    // @ts-expect-error another type
    void memo.invalidate("1")
  })

  test("of fewer failures stands for one of more", () => {
    expect<Memoize.Memo<readonly [number], User>>().type.toBeAssignableTo<
      Memoize.Memo<readonly [number], User, NotFound>
    >()
    expect<Memoize.Memo<readonly [number], User, NotFound>>().type.not.toBeAssignableTo<
      Memoize.Memo<readonly [number], User>
    >()
  })
})

describe("promise", () => {
  test("fails with UnknownException, or with what catch makes of it", () => {
    expect(Memoize.promise(options, (id, signal) => {
      expect(id).type.toBe<number>()
      expect(signal).type.toBe<AbortSignal>()
      return Promise.resolve(user)
    })).type.toBe<
      Effect.Effect<
        Memoize.Memo<readonly [number], User, Cause.UnknownException>,
        StorageError.StorageError,
        Base
      >
    >()
    expect(Memoize.promise({ ...options, catch: () => new Offline() }, () => Promise.resolve(user))).type.toBe<
      Effect.Effect<Memoize.Memo<readonly [number], User, Offline>, StorageError.StorageError, Base>
    >()
  })

  test("an argument that the schema does not cover is refused", () => {
    // @ts-expect-error another type
    void Memoize.promise(options, (id: string) => Promise.resolve(id === "" ? user : user))
    // @ts-expect-error another answer
    void Memoize.promise(options, (id) => Promise.resolve(id))
  })
})

describe("request", () => {
  test("is a resolver of the same requests, that needs nothing", () => {
    expect(Memoize.request({ request: UserById, timeToLive: 1 }, resolver)).type.toBe<
      Effect.Effect<Memoize.Resolver<UserById>, StorageError.StorageError, Base | Api>
    >()
    expect<Memoize.Resolver<UserById>>().type.toBeAssignableTo<RequestResolver.RequestResolver<UserById>>()
    expect(E.flatMap(
      Memoize.request({ request: UserById, timeToLive: 1 }, resolver),
      (memoised) => E.request(new UserById({ id: 1 }), memoised)
    )).type.toBe<Effect.Effect<User, NotFound | Offline | StorageError.StorageError, Base | Api>>()
    expect<Request.Request.Success<UserById>>().type.toBe<User>()
  })

  test("stores failures of the request only", () => {
    void Memoize.request({ failure: NotFound, request: UserById, timeToLive: 1 }, resolver)
    // @ts-expect-error no failure of the request
    void Memoize.request({ failure: Schema.String, request: UserById, timeToLive: 1 }, resolver)
  })

  test("the requests of another class are refused", () => {
    // @ts-expect-error another class
    void Memoize.request({ request: Other, timeToLive: 1 }, resolver)
  })
})

describe("Tag", () => {
  class GetUser extends Memoize.Tag<GetUser>()("GetUser", {
    args: Schema.Tuple(Schema.Number),
    failure: NotFound,
    hardTimeout: "1 second",
    success: User,
    timeToLive: "1 hour"
  }, byFailing) {}

  test("is the tag of the function", () => {
    expect(E.map(GetUser, (getUser) => getUser)).type.toBe<
      Effect.Effect<
        Memoize.Memo<readonly [number], User, NotFound | Offline | Cause.TimeoutException>,
        never,
        GetUser
      >
    >()
  })

  test("has its layers", () => {
    expect(GetUser.layer).type.toBe<Layer.Layer<GetUser, StorageError.StorageError, Storage.Storage | Api>>()
    expect(GetUser.layerMemory).type.toBe<Layer.Layer<GetUser, StorageError.StorageError, Api>>()
    expect(GetUser.layerTest(() => E.succeed(user))).type.toBe<Layer.Layer<GetUser>>()
    expect(GetUser.layerTest((id) => E.zipRight(Secret, E.fail(new NotFound({ id }))))).type.toBe<
      Layer.Layer<GetUser, never, Secret>
    >()
    expect(GetUser.layerTest).type.not.toBeCallableWith(failingOtherwise)
  })
})

describe("the rest", () => {
  test("bypass leaves the type as it is", () => {
    expect(Memoize.bypass(E.zipRight(Secret, E.fail("no")))).type.toBe<Effect.Effect<never, string, Secret>>()
  })

  test("tags are invalidated in the Storage of the context", () => {
    expect(Memoize.invalidateTag("tag", { soft: true })).type.toBe<
      Effect.Effect<void, StorageError.StorageError, Storage.Storage>
    >()
    expect(Memoize.invalidateTags(new Set(["tag"]))).type.toBe<
      Effect.Effect<void, StorageError.StorageError, Storage.Storage>
    >()
  })

  test("failures by option", () => {
    expect<Memoize.Failures<undefined, "recompute", "call">>().type.toBe<never>()
    expect<Memoize.Failures<Duration.DurationInput, "recompute", "call">>().type.toBe<Cause.TimeoutException>()
  })
})
