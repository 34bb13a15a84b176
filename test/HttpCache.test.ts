import { kinds } from "./engines.js"
import { suite } from "./suites/httpCache.js"

for (const engine of kinds) suite(engine)
