/**
 * What stores tell of themselves: a span for each operation, once a tracer is installed, and metrics by keyspace.
 *
 *     npx tsx examples/observability.ts
 *
 * The tracer here prints. A service has OpenTelemetry's instead: with `@effect/opentelemetry`, `NodeSdk.layer` takes the
 * place of `PrintTraces`, and exports the metrics as well. Names and attributes of spans are by its conventions.
 */
import { Cause, Console, Data, Effect, Exit, Layer, Metric, Option, Schema, Tracer } from "effect"
import { KeyValueStore, Sqlite, Storage, TtlStore } from "effect-kv"

const depthOf = (span: Tracer.AnySpan): number =>
  span._tag === "Span" && Option.isSome(span.parent) ? 1 + depthOf(span.parent.value) : 0

const show = (span: Tracer.Span) => {
  if (span.status._tag === "Started") return
  const { endTime, exit, startTime } = span.status
  const outcome = Exit.isSuccess(exit) ? "ok" : `failed, ${String(Cause.squash(exit.cause))}`
  const millis = (Number(endTime - startTime) / 1e6).toFixed(1)
  console.log(`${"  ".repeat(depthOf(span))}${span.name}: ${outcome} (${millis} ms)`)
}

/** Effect's own tracer, which makes spans and shows them to nobody; with each trace printed when it ends. */
const PrintTraces = Layer.unwrapEffect(Effect.map(Effect.tracer, (own) => {
  const traces = new Map<string, Array<Tracer.Span>>()
  return Layer.setTracer(Tracer.make({
    context: own.context,
    span: (...args) => {
      const span = own.span(...args)
      traces.set(span.traceId, [...traces.get(span.traceId) ?? [], span])
      const end = span.end.bind(span)
      span.end = (time, exit) => {
        end(time, exit)
        if (Option.isSome(span.parent)) return
        traces.get(span.traceId)?.forEach(show)
        traces.delete(span.traceId)
      }
      return span
    }
  }))
}))

class Stock extends KeyValueStore.Tag<Stock>()("shop/Stock", { keyspace: "stock", value: Schema.Int }) {}
class Orders extends KeyValueStore.Tag<Orders>()("shop/Orders", { keyspace: "orders", value: Schema.String }) {}
class Prices extends TtlStore.Tag<Prices>()("shop/Prices", {
  keyspace: "prices",
  timeToLive: "1 hour",
  value: Schema.Number
}) {}

class SoldOut extends Data.TaggedError("SoldOut")<{ readonly item: string }> {}

const order = Effect.fn("order")(function*(id: string, item: string) {
  const [storage, stock, orders] = yield* Effect.all([Storage.Storage, Stock, Orders])
  const takeOne = Effect.filterOrFail(stock.increment(item, -1), (left) => left >= 0, () => new SoldOut({ item }))
  yield* storage.transaction(Effect.gen(function*() {
    // A savepoint: the order is kept as a wish when there is nothing to take.
    const state = yield* storage.transaction(Effect.as(takeOne, "sent")).pipe(
      Effect.catchTag("SoldOut", () => Effect.succeed("wished for"))
    )
    yield* orders.set(id, state)
  }))
})

const counted = ["hits", "misses", "writes", "expirations"] as const

const program = Effect.gen(function*() {
  const prices = yield* Prices
  yield* (yield* Stock).set("pear", 1)
  yield* order("order-1", "pear")
  yield* order("order-2", "pear")
  for (const item of ["pear", "pear"]) yield* prices.getOrSet(item, Effect.succeed(0.5))
  yield* prices.set("plum", 0.4, { timeToLive: "1 milli" })
  yield* Effect.sleep("10 millis")
  yield* prices.sweep

  for (const keyspace of ["stock", "orders", "prices"]) {
    const row = yield* Effect.forEach(
      counted,
      (name) =>
        Effect.map(
          Metric.value(Metric.tagged(Storage.metrics[name], "keyspace", keyspace)),
          ({ count }) => `${name} ${count}`
        )
    )
    yield* Console.log(`${keyspace}: ${row.join(", ")}`)
  }
})

const Live = Layer.mergeAll(Stock.layer, Orders.layer, Prices.layer).pipe(
  Layer.provideMerge(Storage.layer()),
  Layer.provide(Sqlite.layer({ filename: ":memory:" }))
)

program.pipe(Effect.provide(Live), Effect.provide(PrintTraces), Effect.runPromise)
