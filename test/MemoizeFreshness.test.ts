import { kinds } from "./engines.js"
import { suite } from "./suites/memoizeFreshness.js"

for (const engine of kinds) suite(engine)
