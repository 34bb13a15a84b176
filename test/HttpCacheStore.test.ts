import { kinds } from "./engines.js"
import { suite } from "./suites/httpCacheStore.js"

for (const engine of kinds) suite(engine)
