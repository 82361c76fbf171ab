import { Type } from 'typebox';
import { onOff, path } from './setting-schema.ts';

/** What the HTTP API needs to be HTTPS; part of the settings' one schema. */
export const HTTPS_SETTINGS = {
  tls: onOff({
    group: 'Node',
    default: false,
    description:
      'Serve HTTPS (TLS 1.2 or later) in place of HTTP, with `node.crt` and `node.key` of `certs-dir` or `fred-certs-dir`, unless `tls-cert-file` names others. Files that change are taken up within a second and no connection is dropped; ones that cannot be used are left, and the log says so (`https_certificate_unusable`).',
  }),
  tlsCertFile: Type.Optional(
    path({
      group: 'Node',
      placeholder: 'FILE',
      defaultText: '`node.crt` of `certs-dir`',
      description:
        "PEM file with the certificate for HTTPS, the chain up to its authority after it; switches `tls` on. For clients that know a public authority and not the cluster's.",
    }),
  ),
  tlsKeyFile: Type.Optional(
    path({
      group: 'Node',
      placeholder: 'FILE',
      defaultText: '`node.key` of `certs-dir`',
      description: 'PEM file with the key of `tls-cert-file`.',
    }),
  ),
  tlsClientCaFile: Type.Optional(
    path({
      group: 'Node',
      placeholder: 'FILE',
      defaultText: 'none: clients need no certificate',
      description:
        'PEM file with the authorities of clients: over HTTPS nobody without a certificate of one of them is let in. Who it is, keys and tokens say as ever.',
    }),
  ),
} as const;
