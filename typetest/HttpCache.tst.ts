import type { HttpClient, HttpClientError, HttpClientResponse } from "@effect/platform"
import type { Effect, Layer, Option, Scope, Stream } from "effect"
import { HttpCache, HttpCacheStore } from "effect-kv"
import type { Storage, StorageError } from "effect-kv"
import { describe, expect, test } from "tstyche"

declare const client: HttpClient.HttpClient.With<"down", "service">
declare const effect: Effect.Effect<number, "no", "service">
declare const store: HttpCacheStore.HttpCacheStore["Type"]
declare const fresh: HttpCacheStore.NewResponse
declare const body: Stream.Stream<Uint8Array, "torn", "service">
declare const response: HttpClientResponse.HttpClientResponse

describe("HttpCache", () => {
  test("the layer takes the client and gives one", () => {
    expect(HttpCache.layer()).type.toBe<
      Layer.Layer<
        HttpCache.HttpCache | HttpClient.HttpClient,
        StorageError.StorageError,
        HttpClient.HttpClient | Storage.Storage
      >
    >()
    expect(HttpCache.layerCache()).type.toBe<
      Layer.Layer<HttpCache.HttpCache, StorageError.StorageError, Storage.Storage>
    >()
  })

  test("a client keeps its errors and needs", () => {
    expect(HttpCache.transform(client)).type.toBe<
      Effect.Effect<
        HttpClient.HttpClient.With<"down" | HttpCache.CacheMiss | HttpClientError.RequestError, "service">,
        never,
        HttpCache.HttpCache
      >
    >()
  })

  test("combinators change no types", () => {
    expect(HttpCache.disabled(effect)).type.toBe<Effect.Effect<number, "no", "service">>()
    expect(HttpCache.withOptions(effect, { mode: "reload" })).type.toBe<Effect.Effect<number, "no", "service">>()
    expect(effect.pipe(HttpCache.withOptions({ timeToLive: "1 hour" }))).type.toBe<
      Effect.Effect<number, "no", "service">
    >()
  })

  test("options that do not exist do not compile", () => {
    expect(HttpCache.layer).type.not.toBeCallableWith({ ignored_parameters: ["a"] })
    expect(HttpCache.layer).type.not.toBeCallableWith({ mode: "public" })
    expect(HttpCache.withOptions).type.not.toBeCallableWith(effect, { mode: "nocache" })
    expect(HttpCache.makeWithStore).type.not.toBeCallableWith({ maxBytes: 1 })
  })

  test("a cache over a store of one's own needs no storage", () => {
    expect(HttpCache.makeWithStore()).type.toBe<
      Effect.Effect<
        HttpCache.HttpCache["Type"],
        StorageError.StorageError,
        Scope.Scope | HttpCacheStore.HttpCacheStore
      >
    >()
  })

  test("info", () => {
    expect(HttpCache.info(response)).type.toBe<Option.Option<HttpCache.CacheInfo>>()
  })
})

describe("HttpCacheStore", () => {
  test("layers", () => {
    expect(HttpCacheStore.layer()).type.toBe<
      Layer.Layer<HttpCacheStore.HttpCacheStore, StorageError.StorageError, Storage.Storage>
    >()
    expect(HttpCacheStore.layerMemory).type.toBe<
      Layer.Layer<HttpCacheStore.HttpCacheStore, StorageError.StorageError>
    >()
  })

  test("a body's errors and needs are those of writing it", () => {
    expect(store.write("key", fresh, body)).type.toBe<
      Effect.Effect<
        Option.Option<HttpCacheStore.StoredResponse>,
        "torn" | StorageError.StorageError | StorageError.InvalidKey,
        "service"
      >
    >()
  })
})
