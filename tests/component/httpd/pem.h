/* Certificates for tests, valid from 2020 to 2119: a CA, a server (127.0.0.1, localhost, api.test)
 * and a client signed by it, and another CA. The keys are worth nothing. */
#ifndef TESTS_PEM_H
#define TESTS_PEM_H

/* clang-format off */
__attribute__((unused)) static const char pem_ca[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBVTCB/aADAgECAgEBMAoGCCqGSM49BAMCMBoxGDAWBgNVBAMMD21sdHJhaW4g\n"
    "dGVzdCBjYTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowGjEYMBYG\n"
    "A1UEAwwPbWx0cmFpbiB0ZXN0IGNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
    "0cOrzRdMht52XenUhTD/IicLQUUD6sQUHSvRcrlg3VacoclnGRmE1VwpoTN+9dTO\n"
    "yGFHH754LSY5R6Jg8qvciKMyMDAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQU\n"
    "bhbC6f9aYrAehv1rl0ob+2e+goIwCgYIKoZIzj0EAwIDRwAwRAIgSVzuYv994V6n\n"
    "V1rd0vQ6vgdEEhq7XEpFhYtPLnKBR54CIHHdHK7KDNHzZXdvwPJnOVtfPeeTF6o2\n"
    "xRrPtNzk1i7i\n"
    "-----END CERTIFICATE-----\n";

__attribute__((unused)) static const char pem_server_certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBkDCCATegAwIBAgIBAzAKBggqhkjOPQQDAjAaMRgwFgYDVQQDDA9tbHRyYWlu\n"
    "IHRlc3QgY2EwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMB4xHDAa\n"
    "BgNVBAMME21sdHJhaW4gdGVzdCBzZXJ2ZXIwWTATBgcqhkjOPQIBBggqhkjOPQMB\n"
    "BwNCAAQP/v858zj9C8bEPsacDJ3gw///TlKw+HuDGAPYlvWnw9Sp3t9oTymtkZlj\n"
    "dnUn610mtn9k0lcenF/zRABqQs0Vo2gwZjAkBgNVHREEHTAbhwR/AAABgglsb2Nh\n"
    "bGhvc3SCCGFwaS50ZXN0MB0GA1UdDgQWBBSOfqPLiMHGaIXqxiUxI8J4K4Q5PjAf\n"
    "BgNVHSMEGDAWgBRuFsLp/1pisB6G/WuXShv7Z76CgjAKBggqhkjOPQQDAgNHADBE\n"
    "AiBoZT9e3YPqjmizhYVU0uWjdsOFHXgTMuyIEK3dg3b6fgIgbeXq81PfXnvDmRqo\n"
    "56wzlFSqnhA1Obr32A+LihEx4/8=\n"
    "-----END CERTIFICATE-----\n";

__attribute__((unused)) static const char pem_server_key[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIObmHV3XyvTxRVMFRfsvgNOSjzTLhs+MgDo3edhQXTqHoAoGCCqGSM49\n"
    "AwEHoUQDQgAED/7/OfM4/QvGxD7GnAyd4MP//05SsPh7gxgD2Jb1p8PUqd7faE8p\n"
    "rZGZY3Z1J+tdJrZ/ZNJXHpxf80QAakLNFQ==\n"
    "-----END EC PRIVATE KEY-----\n";

__attribute__((unused)) static const char pem_client_certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBgTCCASagAwIBAgIBBDAKBggqhkjOPQQDAjAaMRgwFgYDVQQDDA9tbHRyYWlu\n"
    "IHRlc3QgY2EwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMB4xHDAa\n"
    "BgNVBAMME21sdHJhaW4gdGVzdCBjbGllbnQwWTATBgcqhkjOPQIBBggqhkjOPQMB\n"
    "BwNCAATdlQewoVg5beEELmuCnEKmFQLrVdYX/DLk+LKhDUEtVo1DWDK6PEka13r7\n"
    "yolM9CFBROn3re7K6DlxBHukP+mJo1cwVTATBgNVHSUEDDAKBggrBgEFBQcDAjAd\n"
    "BgNVHQ4EFgQUTuDOIEcdQNV0ds9QL719IC3XlUAwHwYDVR0jBBgwFoAUbhbC6f9a\n"
    "YrAehv1rl0ob+2e+goIwCgYIKoZIzj0EAwIDSQAwRgIhANB1C3Vqt+BxAw21RkH0\n"
    "a/LwYlniCQ7TluDrtcN0JipGAiEAjPsBsiGuJFnVed0taWQmq6+hJlzrSgbMymqs\n"
    "wQoxyK0=\n"
    "-----END CERTIFICATE-----\n";

__attribute__((unused)) static const char pem_client_key[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEII2Md/IzQvjWbL/YQ9SPI217Hu6vXEtVY2A9YLEl8OpsoAoGCCqGSM49\n"
    "AwEHoUQDQgAE3ZUHsKFYOW3hBC5rgpxCphUC61XWF/wy5PiyoQ1BLVaNQ1gyujxJ\n"
    "Gtd6+8qJTPQhQUTp963uyug5cQR7pD/piQ==\n"
    "-----END EC PRIVATE KEY-----\n";

__attribute__((unused)) static const char pem_other_ca[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBXTCCAQOgAwIBAgIBAjAKBggqhkjOPQQDAjAdMRswGQYDVQQDDBJtbHRyYWlu\n"
    "IHRlc3Qgb3RoZXIwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMB0x\n"
    "GzAZBgNVBAMMEm1sdHJhaW4gdGVzdCBvdGhlcjBZMBMGByqGSM49AgEGCCqGSM49\n"
    "AwEHA0IABE3q5+/dScVl/QCbkMXajvqp7ZrXYhsXm88a/ktE1yE+NyTAa0Nmpd9/\n"
    "ckgvn+ypRGIMamQIopuYy7kK1YgKp8WjMjAwMA8GA1UdEwEB/wQFMAMBAf8wHQYD\n"
    "VR0OBBYEFIbfHI77o+xe95ZyM/kqH4BPnwy0MAoGCCqGSM49BAMCA0gAMEUCIQDD\n"
    "jvjVBKTOMSJpnYOKAFENLJFwFFfYjbj8U8tkC4Fx2AIgI2bLftY4CL5XR6Ni/6ll\n"
    "x55FQlw+0wHPI8E275SaSQA=\n"
    "-----END CERTIFICATE-----\n";

/* clang-format on */
#endif
