import { Type } from 'typebox';
import { onOff, path, text } from './setting-schema.ts';

/** Who may use the node; part of the settings' one schema. */
export const ACCESS_SETTINGS = {
  keysDir: Type.Optional(
    path({
      group: 'Access',
      placeholder: 'DIR',
      defaultText: '`keys` in `data-dir`',
      description:
        'API keys that count, a file each, as `discedge keys create` makes them; changes are seen within a second. Once there is one, or `jwt-issuer` is set, everyone is asked. Who may write there is the operator of the node.',
    }),
  ),
  jwtIssuer: Type.Optional(
    text({
      group: 'Access',
      placeholder: 'ISSUER',
      defaultText: 'none',
      description:
        'Issuer (`iss`) whose JSON Web Tokens count, as those of an OpenID Connect provider. Needs `jwt-audience` and `jwt-keys`.',
    }),
  ),
  jwtAudience: Type.Optional(
    text({
      group: 'Access',
      placeholder: 'AUDIENCE',
      defaultText: 'none',
      description:
        'Whom such a token must be made for (`aud`): a name that this node, or its cluster, alone has there.',
    }),
  ),
  jwtKeys: Type.Optional(
    text({
      group: 'Access',
      placeholder: 'URL|FILE',
      defaultText: 'none',
      description:
        "The issuer's public keys as a JSON Web Key Set: its `jwks_uri` (https, or http on this machine), asked again after ten minutes and for a key that it lacked, or a file, for nodes that are off-line.",
    }),
  ),
  jwtUserClaim: text({
    group: 'Access',
    placeholder: 'CLAIM',
    default: 'sub',
    description: 'The claim of a token that says whose sessions it is good for.',
  }),
  jwtScopeClaim: text({
    group: 'Access',
    placeholder: 'CLAIM',
    default: 'scope',
    description:
      'The claim with what a token is good for: `discedge:user`, `discedge:service`, `discedge:operator`, `discedge:read-only`, with blanks between them or as a list. One that says none of it is for the sessions of its user.',
  }),
  serveAnyone: onOff({
    group: 'Access',
    default: false,
    description:
      'Serve other machines though nobody is asked who calls. Without it a node that has neither keys nor `jwt-issuer` listens on loopback alone: whoever reaches it can read and delete what everybody has said.',
  }),
  auditLog: Type.Optional(
    path({
      group: 'Access',
      placeholder: 'FILE',
      defaultText: 'none',
      description:
        'File in which administrative acts are noted, a line of JSON each: who did what to whose, when, and what came of it, and nothing that anybody said. At 10 MiB it is moved to FILE.1.',
    }),
  ),
} as const;
