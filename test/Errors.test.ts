import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Option } from "effect"
import { Sqlite, Storage, StorageError } from "effect-kv"

describe("messages", () => {
  it("say what was wrong, where, with which value", () => {
    const at = (key: string | Uint8Array) =>
      new StorageError.StorageError({ detail: "why", key, keyspace: "s", method: "get", reason: "Busy" }).message
    assert.strictEqual(at("k"), "Busy: get in keyspace \"s\" at key \"k\": why")
    assert.strictEqual(at(new Uint8Array([1, 255])), "Busy: get in keyspace \"s\" at key 0x01ff: why")
    assert.include(at("x".repeat(500)), `"${"x".repeat(80)}..." (500 characters)`)
    assert.include(at(new Uint8Array(500)), "... (500 bytes)")
    assert.strictEqual(
      new StorageError.StorageError({ detail: "why", method: "open", reason: "Full" }).message,
      "Full: open: why"
    )
    assert.strictEqual(
      new StorageError.InvalidKey({ issue: "why", key: { a: 1 }, keyspace: "s" }).message,
      "{\"a\":1} cannot be a key in keyspace \"s\": why"
    )
  })
})

describe("an engine that is not there", () => {
  const client = (reserve: Effect.Effect<never, SqlError>, dialect: "mysql" | "pg" | "sqlite") =>
    Layer.effect(
      SqlClient.SqlClient,
      SqlClient.make({
        acquirer: reserve,
        compiler: dialect === "sqlite" ? Statement.makeCompilerSqlite() : Statement.makeCompiler({
          dialect,
          onCustom: () => ["", []],
          onIdentifier: (name) => name,
          onInsert: () => ["", []],
          onRecordUpdate: () => ["", []],
          placeholder: () => "?"
        }),
        spanAttributes: []
      })
    ).pipe(Layer.provide(Reactivity.layer))

  it.effect("libSQL, whose client says that it is SQLite, is refused", () =>
    Effect.gen(function*() {
      const libsql = Layer.map(client(Effect.never, "sqlite"), (context) =>
        Context.make(
          SqlClient.SqlClient,
          Object.assign(Context.get(context, SqlClient.SqlClient), {
            [Symbol.for("@effect/sql-libsql/LibsqlClient")]: true
          })
        ))
      const error = yield* Effect.flip(Layer.build(Layer.provide(Storage.layer(), libsql)))
      assert.strictEqual(error.reason, "Unavailable")
      assert.include(error.message, "libSQL")
    }).pipe(Effect.scoped))

  it.effect("a database of another kind is refused", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(Layer.provide(Storage.layer(), client(Effect.never, "mysql"))))
      assert.strictEqual(error.reason, "Unavailable")
      assert.include(error.message, "SQLite")
    }).pipe(Effect.scoped))

  it.effect("a pool that never gives a connection is Busy", () =>
    Effect.gen(function*() {
      const storage = Storage.layer({ lockTimeout: "50 millis" })
      const error = yield* Effect.flip(Layer.build(Layer.provide(storage, client(Effect.never, "pg"))))
      assert.strictEqual(error.reason, "Busy")
    }).pipe(Effect.scoped))

  it.effect("a client that gives no connection is a typed failure", () =>
    Effect.gen(function*() {
      const gone = Effect.fail(new SqlError({ cause: new Error("gone"), message: "no connection" }))
      const error = yield* Effect.flip(Layer.build(Layer.provide(Storage.layer(), client(gone, "sqlite"))))
      assert.strictEqual(error.reason, "Unknown")
      assert.include(error.message, "gone")
    }).pipe(Effect.scoped))
})

describe("a nested transaction that never ends", () => {
  for (
    const [name, layer] of [
      [
        "SQLite",
        Layer.provide(
          Storage.layer({ sweep: false }),
          Sqlite.layer({ filename: ":memory:", lockTimeout: "100 millis" })
        )
      ],
      ["memory", Storage.layerMemory]
    ] as const
  ) {
    it.live(`makes the one around it fail as Busy and roll back, on ${name}`, () =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const keyspace = yield* storage.keyspace("test")
        const nested = yield* Deferred.make<void>()
        const daemon = yield* Deferred.make<Fiber.RuntimeFiber<never, StorageError.StorageError>>()
        const outer = yield* Effect.fork(Effect.flip(storage.transaction(Effect.gen(function*() {
          yield* keyspace.set("outer", "v")
          yield* Deferred.succeed(
            daemon,
            yield* Effect.forkDaemon(
              storage.transaction(Effect.zipRight(Deferred.succeed(nested, undefined), Effect.never))
            )
          )
          yield* Deferred.await(nested)
        }))))
        yield* Deferred.await(nested)
        const error = yield* Fiber.join(outer)
        assert(error._tag === "StorageError" && error.reason === "Busy")
        assert.include(error.message, "outlives")
        yield* Fiber.interrupt(yield* Deferred.await(daemon))
        assert.isTrue(Option.isNone(yield* keyspace.get("outer")))
        yield* keyspace.set("after", "v")
      }).pipe(Effect.provide(layer)))
  }
})
