import { Type } from 'typebox';
import { onOff, text } from './setting-schema.ts';

/** What the node's files are encrypted with; part of the settings' one schema. */
export const ENCRYPTION_SETTINGS = {
  encryptionKey: Type.Optional(
    text({
      group: 'Encryption',
      secret: true,
      defaultText: 'none: files are in the clear',
      description:
        'Keys with which contexts are encrypted on disk, 64 hex digits each, one a line, as `discedge encryption new-key` makes them: what is written is sealed with the first, what the others have sealed is read, and sealed anew with the first while the node runs. The flag takes the name of a file that holds them. Who loses the key has lost what it sealed.',
    }),
  ),
  encryptionKeyCommand: Type.Optional(
    text({
      group: 'Encryption',
      placeholder: 'COMMAND',
      defaultText: 'none',
      description:
        'Prints those keys, in place of a file: `pass show discedge`. Run once at every start, for a minute at most, without a shell: words are separated by spaces, and what needs more is a script of its own.',
    }),
  ),
  encryptionOff: onOff({
    group: 'Encryption',
    default: false,
    description:
      'Ends encryption: what the keys have sealed is written in the clear again while the node runs. A data folder that was encrypted is never taken without its keys.',
  }),
};
