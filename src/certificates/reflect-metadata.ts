/*
 * @peculiar/x509 finds its algorithms through a container that refuses to load where nothing answers for the metadata
 * of decorators. Its classes have no constructor parameters, so the answer is always that there are none.
 */
const none = () => undefined;
const reflect = Reflect as { getMetadata?: unknown; getOwnMetadata?: unknown };
reflect.getMetadata ??= none;
reflect.getOwnMetadata ??= none;
