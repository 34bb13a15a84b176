/**
 * A batch loader: requests that are made together are read from the store in one round trip, and what is not there is
 * asked for in one query.
 *
 *     npx tsx examples/batch-loader.ts
 */
import { Console, Effect, Request, RequestResolver, Schema } from "effect"
import { Memoize, Sqlite, Storage } from "effect-kv"

class GetPrice extends Schema.TaggedRequest<GetPrice>()("GetPrice", {
  payload: { article: Schema.String },
  success: Schema.Number,
  failure: Schema.Never
}) {}

/** Stands for a table of prices. */
const query = (articles: ReadonlyArray<string>) =>
  Effect.as(Console.log(`query for ${articles.join(", ")}`), articles.map((article) => article.length))

const program = Effect.gen(function*() {
  const prices = yield* Memoize.request(
    { request: GetPrice, timeToLive: "1 hour" },
    RequestResolver.makeBatched((requests: ReadonlyArray<GetPrice>) =>
      Effect.flatMap(
        query(requests.map(({ article }) => article)),
        (found) => Effect.forEach(requests, (request, i) => Request.succeed(request, found[i] ?? 0), { discard: true })
      )
    )
  )
  const priceOf = (article: string) => Effect.request(new GetPrice({ article }), prices)
  const total = (articles: ReadonlyArray<string>) =>
    Effect.forEach(articles, priceOf, { batching: true }).pipe(
      Effect.flatMap((found) => Console.log(`total: ${found.reduce((sum, price) => sum + price, 0)}`))
    )

  yield* total(["pear", "apple", "pear"])
  yield* total(["apple", "banana", "cherry", "pear"])
  yield* prices.invalidate(new GetPrice({ article: "pear" }))
  yield* total(["apple", "pear"])
})

program.pipe(
  Effect.scoped,
  Effect.provide(Storage.layer()),
  Effect.provide(Sqlite.layer({ filename: ":memory:" })),
  Effect.runPromise
)
