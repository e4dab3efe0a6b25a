/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/file_opts.h"

struct file_opts file_opts_of(const struct options *o)
{
	static const enum file_identify identify[] = {
		[VALIDATE_BUILDID] = FILE_BY_BUILD_ID,
		[VALIDATE_FILESIZE] = FILE_BY_SIZE,
		[VALIDATE_CHECKSUM] = FILE_BY_CHECKSUM,
	};

	return (struct file_opts){
		.link_remap = o->link_remap,
		.ghost_limit = o->ghost_limit,
		.evasive_devices = o->evasive_devices,
		.shell_job = o->shell_job,
		.skip_rwx_check = o->skip_file_rwx_check,
		.identify = identify[o->file_validation],
		.sum = {(enum sum_part)o->chksm_config, o->chksm_parameter},
		.embed_mapped = o->embed_mapped_files,
	};
}

int file_policies_of(const struct options *o, struct arena *a, struct policies *ret,
		     struct err *err)
{
	if (o->file_policy_file)
		TRY(policies_add_file(ret, o->file_policy_file, a, err));
	vec_foreach (word, &o->file_policies)
		if (policies_add_word(ret, *word, a, err) < 0)
			return err_in(err, "--file-policy");
	return 0;
}
