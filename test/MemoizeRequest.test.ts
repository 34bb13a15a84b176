import { kinds } from "./engines.js"
import { suite } from "./suites/memoizeRequest.js"

for (const engine of kinds) suite(engine)
