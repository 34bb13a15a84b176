import { kinds } from "./engines.js"
import { suite } from "./suites/memoizeBounds.js"

for (const engine of kinds) suite(engine)
