import { fromOptionalPackage } from '../../../domain/optional-package.ts';

/** An optional peer of this package, in the version that package.json names; brings what reads its messages. */
export const GRPC_PACKAGE = { name: '@grpc/grpc-js', version: '1.14.7' } as const;

/** What `load` imports of what speaks to FReD. Throws `package_missing` where gRPC is not installed. */
export function withGrpc<T>(load: () => Promise<T>): Promise<T> {
  return fromOptionalPackage({ ...GRPC_PACKAGE, need: 'a FReD store (--store fred://HOST:PORT) needs' }, async () => {
    await import('@grpc/grpc-js');
    return load();
  });
}
