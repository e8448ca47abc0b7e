/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by iommufd's mock driver, ../selftest.c, and its vIOMMU */
#ifndef __IOMMUFD_VIOMMU_MOCK_H
#define __IOMMUFD_VIOMMU_MOCK_H

#include <linux/iommu.h>
#include <linux/iommufd_viommu.h>

#include "../iommufd_private.h"
#include "../iommufd_test.h"

/**
 * struct mock_dev_cache - The cache of a mock device
 * @entry: IOMMU_TEST_DEV_CACHE_DEFAULT, or 0 once invalidated. Single words
 *         that are accessed without a lock.
 */
struct mock_dev_cache {
	u32 entry[MOCK_DEV_CACHE_NUM];
};

/**
 * struct mock_pasids - The PASIDs of a mock device
 * @domains: The domain that translates each PASID, by PASID
 * @fails: The next set of a certain PASID fails
 */
struct mock_pasids {
	struct xarray domains;
	bool fails;
};

/* Of ../selftest.c */
struct mock_dev_cache *mock_dev_cache(struct device *dev);
struct mock_pasids *mock_dev_pasids(struct device *dev);
struct iommu_domain *
mock_domain_alloc_nested(struct iommu_domain *parent,
			 struct iommufd_viommu *viommu,
			 const struct iommu_user_data *user_data);

/* Of mock.c */
extern struct iommu_device mock_second_iommu;

#ifdef CONFIG_IOMMUFD_VIOMMU
extern const struct iommufd_viommu_driver mock_viommu_driver;

int mock_viommu_init(struct device *parent, const struct iommu_ops *ops);
void mock_viommu_exit(void);
int mock_viommu_test(struct iommufd_ucmd *ucmd);
void mock_dev_cache_init(struct mock_dev_cache *cache);
int mock_viommu_attach(void);
void mock_viommu_free_nested(struct iommufd_viommu *viommu);

/* Of mock_pasid.c */
void mock_pasids_init(struct mock_pasids *pasids);
void mock_pasids_destroy(struct mock_pasids *pasids);
int mock_set_dev_pasid(struct iommu_domain *domain, struct device *dev,
		       ioasid_t pasid, struct iommu_domain *old);
void mock_remove_dev_pasid(struct device *dev, ioasid_t pasid,
			   struct iommu_domain *domain);
int mock_pasid_test(struct iommufd_ucmd *ucmd, struct iommufd_device *idev);
#else
static inline int mock_viommu_init(struct device *parent,
				   const struct iommu_ops *ops)
{
	return 0;
}

static inline void mock_viommu_exit(void)
{
}

static inline int mock_viommu_test(struct iommufd_ucmd *ucmd)
{
	return -EOPNOTSUPP;
}

static inline void mock_dev_cache_init(struct mock_dev_cache *cache)
{
}

static inline int mock_viommu_attach(void)
{
	return 0;
}

static inline void mock_viommu_free_nested(struct iommufd_viommu *viommu)
{
}
#endif

#endif
