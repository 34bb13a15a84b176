/**
 * Two stores and the program's own SQL in one transaction: all of it is done, or nothing is.
 *
 *     npx tsx examples/transaction.ts
 */
import { SqlClient } from "@effect/sql"
import { Console, Data, Effect, Layer, Schema } from "effect"
import { KeyValueStore, Sqlite, Storage } from "effect-kv"

class Stock extends KeyValueStore.Tag<Stock>()("shop/Stock", { keyspace: "stock", value: Schema.Int }) {}

class Orders extends KeyValueStore.Tag<Orders>()("shop/Orders", {
  keyspace: "orders",
  value: Schema.Struct({ item: Schema.String, pieces: Schema.Int })
}) {}

class SoldOut extends Data.TaggedError("SoldOut")<{ readonly item: string }> {}

const order = (id: string, item: string, pieces: number) =>
  Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const sql = yield* SqlClient.SqlClient
    const stock = yield* Stock
    const orders = yield* Orders

    yield* storage.transaction(Effect.gen(function*() {
      yield* orders.set(id, { item, pieces })
      yield* sql`INSERT INTO journal (entry) VALUES (${`${id}: ${pieces} x ${item}`})`
      // Fails last, so that there is something to undo.
      const left = yield* stock.increment(item, -pieces)
      if (left < 0) yield* new SoldOut({ item })
    }))
  })

const report = (title: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const journal = yield* sql<{ readonly entry: string }>`SELECT entry FROM journal`
    const pears = yield* (yield* Stock).getOrFail("pear")
    const orders = yield* (yield* Orders).size()
    yield* Console.log(`${title}: ${pears} pears left, ${orders} orders, ${journal.length} journal entries`)
  })

const program = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE journal (entry TEXT NOT NULL)`
  yield* (yield* Stock).set("pear", 10)
  yield* report("before")

  yield* order("order-1", "pear", 7)
  yield* report("after 7 of 10 were ordered")

  yield* order("order-2", "pear", 7).pipe(
    Effect.catchTag("SoldOut", ({ item }) => Console.log(`order-2 failed: no ${item} left`))
  )
  yield* report("after the failed order")
})

// Both stores and the program's own SQL stand on one client: that is what makes it one transaction.
const Live = Layer.mergeAll(Stock.layer, Orders.layer).pipe(
  Layer.provideMerge(Storage.layer()),
  Layer.provideMerge(Sqlite.layer({ filename: ":memory:" }))
)

Effect.runPromise(Effect.provide(program, Live))
