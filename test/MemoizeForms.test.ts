import { kinds } from "./engines.js"
import { suite } from "./suites/memoizeForms.js"

for (const engine of kinds) suite(engine)
