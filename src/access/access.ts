import type { Principal } from '../domain/principals/principal.ts';

/** What a request says of who it comes from. */
export interface Credential {
  /** `Authorization: Bearer …`, or what a dialect has in its place; `undefined` where there is none. */
  readonly bearer: string | undefined;
}

/** Who may use the node. */
export interface Access {
  /** False: nobody is asked, and everyone may do everything. */
  readonly asks: boolean;
  /** While nobody is asked: whether only programs of this machine are meant to be served, and not pages that a browser got elsewhere. */
  readonly onlyLocal: boolean;
  /**
   * Whom a request comes from. Throws `unauthorized`, in the same words and the same time whatever is wrong; rejects with
   * `access_unavailable` while it cannot be found out.
   */
  authenticate(credential: Credential): Principal | Promise<Principal>;
}
