# البوابات: حيث تُفرض الجلسات.

gates-title = البوابات
gates-lead = كل موضع يقبل الطلبات، ومدى قربه في متابعة هذه السلطة.
gates-caption = البوابات المتصلة
gates-none = لا توجد بوابة متصلة.
gates-denied = مشغِّلو التثبيت وحدهم يرون البوابات.
gates-denied-why = تخدم البوابات كل الفرق، وأسماؤها وعناوينها تكشف بناء التثبيت. يمكن لمسؤولي الفريق المسمى في server.operators_tenant رؤيتها هنا، وللمشغِّلين بالأمر «portcullis gates list».
gates-denied-count = طبَّقت { $confirmed } من { $gates } بوابات أحدث تغيير يمكنك رؤيته.
gates-denied-receipt = ترى عددها في إيصال كل تسجيل خروج: كم بوابة أكدته، وفي كم ميلي ثانية.
gates-head = رأس السجل: المراجعة { $revision }
gates-of-one = البوابة التي تتابع سلطتين لها سطر لكل منهما.
gates-partial = تعذرت قراءة بوابات السلطات الأخرى. هذه بوابات السلطة التي أجابت.
gates-omitted = { $count } تدفقات أخرى غير مدرجة.
gates-column-name = الاسم
gates-column-version = الإصدار
gates-column-replica = السلطة
gates-column-address = العنوان
gates-column-mode = الوضع
gates-column-fresh = محدَّثة منذ
gates-column-lag = التأخر
gates-column-skew = الساعة
gates-column-streams = التدفقات
gates-column-connected = متصلة
gates-mode-1 = صارم
gates-mode-2 = أفضل جهد
gates-mode-0 = غير معروف
gates-mode-2-why = لا حد لها: تستمر في القبول حين تنقطع.
gates-lag =
    { $count ->
        [0] محدَّثة
        [one] متأخرة بمراجعة واحدة
        [two] متأخرة بمراجعتين
        [few] متأخرة بـ { $count } مراجعات
       *[other] متأخرة بـ { $count } مراجعة
    }
gates-stale = قديمة
gates-fresh = محدَّثة
gates-unproven = لا إثبات بعد
gates-unknown = غير معروف
gates-ago = قبل { $milliseconds } مث
gates-bound = { $milliseconds } مث
gates-skew = { $milliseconds } مث
gates-delays = من الإبطال إلى الفرض
gates-delays-hint = كل دقيقة تفتح السلطة جلسة خاصة بها وتنهيها وتقيس متى أسقطتها كل بوابة. هذه تأخيرات الساعة الماضية.
gates-delays-caption = تأخيرات الساعة الماضية
gates-delays-none = لا قياس بعد.
gates-delays-median = الوسيط
gates-delays-p99 = المئين 99
gates-delays-most = الأبطأ
gates-delays-missed = بعد حد البوابة
gates-delays-up-to = حتى { $milliseconds } مث
gates-delays-range = التأخير
gates-delays-gates = القياسات
gates-delays-chart = القياسات: { $count }، الوسيط { $median } مث، الأبطأ { $most } مث.
gates-refresh = تحديث
